"""What is measured on the machine before a run: the batch that fits its memory, the precision that is fast on it."""
