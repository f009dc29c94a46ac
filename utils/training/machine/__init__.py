"""What is measured or set on the machine before a run: the batch that fits, the precision that is fast, the memory."""
