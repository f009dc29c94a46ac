"""Running a detector from any file, exported or not."""
