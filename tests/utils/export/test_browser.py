"""The page of examples/browser detects what the same file gives in Python, in a real browser."""

import functools
import json
import re
import shutil
import subprocess
import threading
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

import cv2
import pytest

from utils.export.export import export
from utils.export.options import ExportOptions
from utils.export.parity import comparison_images
from utils.files.paths import ROOT

PAGE = ROOT / "examples/browser"
SIZE = 64
LIMITS = {"conf_thres": 0.2, "iou_thres": 0.5, "max_det": 10}


@pytest.fixture
def chromium():
    """Return the browser's path; skip where there is none, or onnxruntime-web has not been installed."""
    pytest.importorskip("onnx")
    pytest.importorskip("onnxruntime")
    found = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if not found:
        pytest.skip("no Chromium")
    if not (PAGE / "node_modules/onnxruntime-web").is_dir():
        pytest.skip("onnxruntime-web is not installed: npm install in examples/browser")
    return found


class Quiet(SimpleHTTPRequestHandler):
    """Serves a folder without a line for each file."""

    def log_message(self, *_):
        pass


@pytest.fixture
def site(tmp_path):
    """Return (folder with the page, address that serves it)."""
    folder = tmp_path / "site"
    shutil.copytree(PAGE, folder, ignore=shutil.ignore_patterns("node_modules"))
    (folder / "node_modules").symlink_to(PAGE / "node_modules")
    server = ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=folder))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield folder, f"http://127.0.0.1:{server.server_port}"
    server.shutdown()


def test_the_page_finds_what_onnx_runtime_finds(chromium, site, small_weights, tmp_path):
    import onnxruntime

    folder, address = site
    shutil.copy(small_weights, folder / "model.pt")
    options = ExportOptions(weights=str(folder / "model.pt"), include=["onnx"], imgsz=[SIZE], nms=True, **LIMITS)
    (made,) = export(options)
    session = onnxruntime.InferenceSession(str(made.path), providers=["CPUExecutionProvider"])
    pixels = comparison_images((SIZE, SIZE), seed=5)[:1]
    picture = (pixels[0].permute(1, 2, 0).numpy()[..., ::-1] * 255).round().astype("uint8")
    cv2.imwrite(str(folder / "picture.png"), picture)
    (expected,) = session.run(None, {"images": pixels.numpy()})
    dump = subprocess.run(
        [
            chromium,
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            f"--user-data-dir={tmp_path / 'profile'}",
            "--virtual-time-budget=60000",
            "--dump-dom",
            f"{address}/index.html?image=picture.png",
        ],
        capture_output=True,
        text=True,
        timeout=180,
        check=True,
    ).stdout
    status = re.search(r'<p id="status">(.*?)</p>', dump)[1]
    assert re.fullmatch(r"\d+ found in \d+ ms", status), status
    found = json.loads(re.search(r'<pre id="detections">(.*?)</pre>', dump)[1])
    assert len(found) == len(expected) > 0
    for row, wanted in zip(found, expected):
        assert row["box"] == pytest.approx(wanted[1:5], abs=0.5)
        assert (row["score"], row["label"]) == (pytest.approx(wanted[5], abs=0.01), wanted[6])
