"""The command line: options as dataclasses, the device."""
