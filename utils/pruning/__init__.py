"""prune.py: from a checkpoint to a narrower one."""
