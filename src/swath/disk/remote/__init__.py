"""Files in buckets and on web servers: read in place, copied, written to; off unless allowed."""
