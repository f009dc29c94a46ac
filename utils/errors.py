"""The one exception that a user is meant to read."""


class InputError(ValueError):
    """Something the user gave is wrong: one line that names the file, line or key, the value, and what would be right.

    Scripts print it without a traceback and exit with code 2 (utils.options.run).
    """
