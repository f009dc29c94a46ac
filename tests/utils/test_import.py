"""What importing the package does to the process, seen from outside."""

import os
import subprocess
import sys

import pytest

from utils.files.paths import ROOT

SHOW = "import os, utils; print(os.environ.get('GOMP_SPINCOUNT'))"
RUN_ONNX = """
import utils
import numpy
import onnxruntime
from onnx import parser

model = parser.parse_model(
    '<ir_version: 8, opset_import: ["": 13]> g (float[1] x) => (float[1] y) { y = Identity(x) }'
)
session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
print(session.run(None, {"x": numpy.array([3], numpy.float32)}))
"""


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


def test_onnx_runtime_writes_nothing_about_the_user(tmp_path):
    environment = {k: v for k, v in os.environ.items() if k != "ORT_DISABLE_TELEMETRY"}
    environment |= {"HOME": str(tmp_path), "XDG_CACHE_HOME": str(tmp_path)}
    assert printed(RUN_ONNX, environment) == "[array([3.], dtype=float32)]"
    assert not list(tmp_path.iterdir())


def printed(program, environment):
    """Return what a fresh Python prints."""
    command = [sys.executable, "-c", program]
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=True).stdout.strip()
