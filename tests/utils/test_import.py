"""What importing the package does to the process, seen from outside."""

import os
import subprocess
import sys

import pytest

from utils.files.paths import ROOT

SHOW = "import os, utils; print(os.environ.get('GOMP_SPINCOUNT'))"


@pytest.mark.parametrize(
    ("given", "expected"),
    [({}, "10000"), ({"GOMP_SPINCOUNT": "7"}, "7"), ({"OMP_WAIT_POLICY": "ACTIVE"}, "None")],
    ids=["nothing set", "count set", "policy set"],
)
def test_threads_wait_less_busily_unless_told_otherwise(given, expected):
    environment = {k: v for k, v in os.environ.items() if k not in ("GOMP_SPINCOUNT", "OMP_WAIT_POLICY")}
    assert printed(SHOW, environment | given) == expected


def test_it_is_set_before_pytorch_is_imported():
    assert printed("import sys, utils; print('torch' in sys.modules)", None) == "False"


def printed(program, environment):
    """Return what a fresh Python prints."""
    command = [sys.executable, "-c", program]
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=True).stdout.strip()
