"""Packages that only some formats need: named with their pip command where they are missing, never installed."""

import importlib
import importlib.util
from types import ModuleType

from utils.errors import InputError, Terminated

PIP_NAMES = {"onnxruntime.quantization": "onnxruntime onnx"}  # where the pip name is not the module's


def need(module: str, what: str) -> ModuleType:
    """Return an optional module. Raises InputError that says what needs it and how to install it.

    module: dotted name; what: the flag or file that needs it.
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        if stopped := interruption(error):
            raise stopped from None
        missing = error.name or module
        pip = PIP_NAMES.get(module, module.partition(".")[0])
        raise InputError(f"{what}: needs the Python package {missing}; pip install {pip}") from None


def interruption(error: BaseException | None) -> BaseException | None:
    """Return the ^C or SIGTERM behind an error: compiled packages turn one into an ImportError of theirs."""
    while error is not None and not isinstance(error, (KeyboardInterrupt, Terminated)):
        error = error.__cause__ or error.__context__
    return error


def has(module: str) -> bool:
    """Tell whether an optional module is installed, without importing it."""
    return importlib.util.find_spec(module) is not None
