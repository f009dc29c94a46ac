"""Data sets in tars: photos with their labels, read where they lie."""
