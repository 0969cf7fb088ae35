"""What is wrong with inputs, found before work begins."""
