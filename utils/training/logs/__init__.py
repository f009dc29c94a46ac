"""What a run writes down: lines on the terminal, tables, pictures, and the loggers people use."""
