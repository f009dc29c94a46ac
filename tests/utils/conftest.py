"""Networks and a data set small enough to train, prune and export within a test."""

import math
import os
import re
import resource
import shutil
import signal
import subprocess
import sys
import traceback
from copy import deepcopy
from html import escape
from html.parser import HTMLParser

import cv2
import numpy as np
import pytest
import torch
import yaml
from torch import nn

from models.common import BN_MOMENTUM
from models.yolo import DetectionModel
from utils.boxes.geometry import non_max_suppression
from utils.errors import InputError
from utils.export.parity import comparison_images
from utils.files.checkpoint import finished_content, load_checkpoint, save_checkpoint
from utils.files.paths import ROOT
from utils.pruning.channels.groups import trace_channels
from utils.pruning.channels.rebuild import rebuild

TINY = {
    "nc": 3,
    "depth_multiple": 0.33,
    "width_multiple": 0.125,
    "anchors": [[8, 8, 16, 16], [24, 24, 40, 40]],
    "backbone": [
        [-1, 1, "Conv", [64, 6, 2, 2]],
        [-1, 1, "Conv", [64, 3, 2]],
        [-1, 1, "C3", [64]],
        [-1, 1, "Conv", [128, 3, 2]],
        [-1, 1, "Conv", [128, 3, 2]],
    ],
    "head": [[[3, 4], 1, "Detect", ["nc", "anchors"]]],
}


@pytest.fixture
def tiny_cfg():
    """Return the rows of a network of 5 layers with strides 8 and 16."""
    return TINY


@pytest.fixture
def tiny_model():
    """Return that network with seeded weights."""
    torch.manual_seed(0)
    return DetectionModel(TINY)


@pytest.fixture
def drawn_data(tmp_path):
    """Return the yaml of 8 training and 4 validation images of 64×64 with one or two rectangles each."""
    rng = np.random.default_rng(0)
    for split, count in (("train", 8), ("val", 4)):
        for kind in ("images", "labels"):
            (tmp_path / "set" / kind / split).mkdir(parents=True)
        for index in range(count):
            image = rng.integers(0, 60, (64, 64, 3), np.uint8)
            rows = []
            for _ in range(1 + index % 2):
                label, (left, top) = int(rng.integers(3)), rng.integers(0, 40, 2)
                width, height = rng.integers(12, 24, 2)
                image[top : top + height, left : left + width, label] = 250
                rows.append(f"{label} {(left + width / 2) / 64} {(top + height / 2) / 64} {width / 64} {height / 64}")
            cv2.imwrite(str(tmp_path / "set" / "images" / split / f"{index}.png"), image)
            (tmp_path / "set" / "labels" / split / f"{index}.txt").write_text("\n".join(rows))
    file = tmp_path / "drawn.yaml"
    splits = {"train": "images/train", "val": "images/val"}
    file.write_text(yaml.safe_dump({"path": str(tmp_path / "set"), **splits, "names": ["blue", "green", "red"]}))
    return file


def relabelled(data, model, most=20):
    """Rewrite the labels of drawn data to the surest boxes inside each image that a network itself finds there."""
    for file in data.parent.glob("set/images/*/*.png"):
        image = torch.from_numpy(cv2.imread(str(file))[..., ::-1].copy()).permute(2, 0, 1)[None] / 255
        with torch.no_grad():
            (boxes,) = non_max_suppression(deepcopy(model).float().eval()(image)[0], 0.001, 0.6, multi_label=False)
        rows = []
        for left, top, right, bottom, _, label in boxes.tolist():
            if min(left, top) >= 0 and max(right, bottom) <= 64:
                middle = ((left + right) / 128, (top + bottom) / 128, (right - left) / 64, (bottom - top) / 64)
                rows.append(" ".join(map(str, (int(label), *middle))))
        assert rows, "a network that finds nothing"
        (data.parent / "set/labels" / file.parent.name / f"{file.stem}.txt").write_text("\n".join(rows[:most]))
    return data


@pytest.fixture
def label_by(drawn_data):
    """Return the function that gives drawn data the labels that a network finds: its mAP there is far from zero."""
    return lambda model: relabelled(drawn_data, model)


@pytest.fixture
def knowing(tmp_path, make_lively, tiny_cfg, label_by):
    """Return the file of a network that finds what the drawn images are labelled with, because they have its labels."""
    model = make_lively(tiny_cfg)
    model.names = dict(enumerate(("blue", "green", "red")))
    label_by(model)
    save_checkpoint(tmp_path / "knowing.pt", finished_content(model))
    return tmp_path / "knowing.pt"


@pytest.fixture
def tiny_yaml(tmp_path):
    """Return the model yaml of the small network."""
    file = tmp_path / "tiny.yaml"
    file.write_text(yaml.safe_dump(TINY))
    return file


class Balanced(HTMLParser):
    """Follows open elements and collects text."""

    VOID = {"meta", "br", "img"}

    def __init__(self):
        super().__init__()
        self.open, self.texts, self.attributes = [], [], []

    def handle_starttag(self, tag, attrs):
        self.attributes += attrs
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.attributes += attrs

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if data.strip() and self.open[-1] not in ("style", "title"):
            self.texts.append(data.strip())


def read(html):
    """Return the Balanced parser that has read a page, which must be well formed."""
    parser = Balanced()
    parser.feed(html)
    assert parser.open == []
    return parser


@pytest.fixture
def read_html():
    """Return a function that reads a page: its texts and attributes."""
    return read


WRAPPER = """<!doctype html><body>{frames}<script>onload = () => {{
document.title = [...document.querySelectorAll("iframe")].map(f => f.contentDocument).map(page =>
page.documentElement.scrollWidth + (page.styleSheets[0].cssRules.length > 40 ? "" : " without style")) }}</script>"""


@pytest.fixture
def page_widths(tmp_path):
    """Return a function: HTML texts → [widths in pixels of what is in each, shown 390 and 1200 pixels wide]."""
    browser = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if not browser:
        pytest.skip("no Chromium")

    def widths(pages):
        frames = [
            f'<iframe width="{width}" style="border:0" srcdoc="{escape(page.replace("http-equiv", "name"))}"></iframe>'
            for page in pages
            for width in (390, 1200)
        ]
        (tmp_path / "all.html").write_text(WRAPPER.format(frames="".join(frames)))
        flags = ["--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--dump-dom"]
        command = [browser, *flags, f"--user-data-dir={tmp_path / 'profile'}", (tmp_path / "all.html").as_uri()]
        dump = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True).stdout
        found = list(map(int, re.search(r"<title>(.*?)</title>", dump)[1].split(",")))
        return list(zip(found[::2], found[1::2]))

    return widths


def stir(model):
    """Give all batch norms of a network random gammas, betas and statistics; return it in evaluation mode."""
    with torch.no_grad():
        for module in model.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.weight.uniform_(0.5, 1.5)
                module.bias.uniform_(-0.5, 0.5)
                module.running_mean.uniform_(-0.5, 0.5)
                module.running_var.uniform_(0.5, 1.5)
    return model.eval()


@pytest.fixture
def stirred():
    """The function that makes a network's numbers random."""
    return stir


def lively(config):
    """Return the network of a model mapping, seeded, in which no two boxes are alike and no layer is all but silent."""
    torch.manual_seed(0)
    model = DetectionModel(config)
    norms = [module for module in model.modules() if isinstance(module, torch.nn.BatchNorm2d)]
    for norm in norms:
        norm.momentum = 1.0  # the statistics of one batch: without, signals fade from layer to layer
    side = math.ceil(96 / model.size_multiple) * model.size_multiple
    model.train()(comparison_images((side, side), seed=9))
    for norm in norms:
        norm.momentum = BN_MOMENTUM
        norm.running_var.clamp_(min=0.1)
    for conv in model.model[-1].m:
        conv.weight.data.normal_(0, 0.1)
        conv.bias.data.normal_(0, 1)
    return model.eval()


def narrowed(model, step):
    """Return the network with a random number of channels of each group, in multiples of `step`, seeded."""
    rng, graph = np.random.default_rng(0), trace_channels(model)
    masks = {}
    for group in graph.free_groups:
        masks[group.name] = np.arange(group.width) < step * rng.integers(1, max(group.width // step, 1) + 1)
    return rebuild(model, graph, masks)


@pytest.fixture(scope="session")
def make_lively():
    """Return the function that makes a network from a model mapping."""
    return lively


@pytest.fixture(scope="session")
def make_narrow():
    """Return the function that prunes one to uneven widths."""
    return narrowed


@pytest.fixture(scope="session")
def small_weights(tmp_path_factory):
    """Write the v6.0 architecture at an eighth of its width, in which no two boxes are alike; return the path."""
    config = yaml.safe_load((ROOT / "models/yolov5n.yaml").read_text())
    model = lively({**config, "nc": 3, "width_multiple": 0.125})
    model.names = {0: "circle", 1: "square", 2: "triangle"}
    path = tmp_path_factory.mktemp("small") / "small.pt"
    save_checkpoint(path, finished_content(model))
    return path


@pytest.fixture
def weights(small_weights, tmp_path):
    """Return the path of a copy of it."""
    return shutil.copy(small_weights, tmp_path / "small.pt")


@pytest.fixture
def detector(small_weights):
    """Return its DetectionModel."""
    return load_checkpoint(small_weights).model


def run_limited(work, limit):
    """Run work() in a forked child that may write files of so many bytes only; return (exit code, what it said)."""
    receiving, sending = os.pipe()
    child = os.fork()
    if child == 0:
        code = 1
        try:
            os.dup2(sending, 2)
            sys.stderr = open(2, "w", closefd=False)  # noqa: SIM115
            sys.stdout = open(os.devnull, "w")  # noqa: SIM115
            signal.signal(signal.SIGXFSZ, signal.SIG_IGN)  # an error, as on a full disk
            resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
            work()
            code = 0
        except InputError as error:
            print(error, file=sys.stderr)
            code = 2
        except BaseException:
            traceback.print_exc()
        finally:
            sys.stderr.flush()
            os._exit(code)
    os.close(sending)
    with os.fdopen(receiving) as pipe:
        said = pipe.read()
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), said


@pytest.fixture
def on_full_disk():
    """Return a function: (work, bytes that a file may have) → (exit code, what was said on stderr)."""
    return lambda work, limit=4096: run_limited(work, limit)
