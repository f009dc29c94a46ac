"""Optional packages: missing ones are named, and an interrupt during an import stays one."""

import sys

import pytest

from utils.errors import InputError, Terminated
from utils.runtimes.packages import has, need


@pytest.mark.parametrize("stop", [KeyboardInterrupt, Terminated])
def test_an_interrupted_import_of_a_compiled_package_is_no_missing_package(tmp_path, monkeypatch, stop):
    (tmp_path / "compiled_one.py").write_text(
        "from utils.errors import Terminated\n"
        f"try:\n    raise {stop.__name__}\n"
        "except KeyboardInterrupt as stopped:\n    raise ImportError('initialization failed') from stopped\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(stop):
        need("compiled_one", "--include onnx")
    sys.modules.pop("compiled_one", None)


def test_a_missing_package_is_named_with_its_command():
    assert not has("surely_missing")
    with pytest.raises(InputError, match="^--include x: needs the Python package surely_missing; pip install surely_m"):
        need("surely_missing", "--include x")
