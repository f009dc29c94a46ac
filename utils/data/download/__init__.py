"""Data sets that are fetched from elsewhere."""
