"""train.py: the one training loop and its hooks."""
