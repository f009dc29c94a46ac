"""Photos kept decoded: on disk and in memory."""
