"""Samples kept: schema, records, index, card."""
