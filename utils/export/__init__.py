"""export.py: the file formats of other runtimes."""
