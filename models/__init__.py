"""The networks: blocks, model yamls, what they cost. Knows nothing of utils."""
