"""What a finished run says and draws of the photos that got worse."""

from copy import deepcopy
from types import SimpleNamespace

import pytest
import torch

from utils.data.config import load_data
from utils.files.checkpoint import finished_content, save_checkpoint
from utils.slimming.report.worst import write_worst
from utils.slimming.report.write import write_page


@pytest.fixture
def run(finished, make_lively, tiny_cfg, label_by, tmp_path):
    """A finished run whose delivered network finds nothing, and what measured it."""
    start = make_lively(tiny_cfg)
    start.names = {0: "blue", 1: "green", 2: "red"}
    config, blind = load_data(label_by(start)), deepcopy(start)
    for layer in blind.model[-1].m:
        torch.nn.init.constant_(layer.bias, -9.0)
    for measured, name, model in ((finished.networks[0], "a.pt", start), (finished.networks[-1], "b.pt", blind)):
        measured.file = name
        save_checkpoint(tmp_path / measured.file, finished_content(model))
    evaluator = SimpleNamespace(config=config, device=torch.device("cpu"), imgsz=64, workers=0)
    return SimpleNamespace(folder=tmp_path, state=finished), evaluator


def test_lines_and_picture_are_on_the_page(run, tmp_path, read_html):
    run[0].state.worst = lines = write_worst(*run)
    assert "the cut network is worse than the dense network on" in lines[0]
    assert lines[-1] == f"  picture: {tmp_path / 'worst.jpg'}" and (tmp_path / "worst.jpg").is_file()
    write_page(run[0].state, tmp_path)
    parser = read_html((tmp_path / "slim.html").read_text())
    assert lines[0] in parser.texts
    assert [value[:23] for name, value in parser.attributes if name == "src"] == ["data:image/jpeg;base64,"]


def test_without_a_kept_step_there_is_nothing_to_say(run):
    run[0].state.steps = []
    assert write_worst(*run) == []


def test_a_run_ends_well_whatever_goes_wrong(run, tmp_path):
    for photo in tmp_path.glob("set/images/val/*"):
        photo.unlink()
    (line,) = write_worst(*run)
    assert line.startswith("worst photos: they could not be shown: ") and "set/images/val" in line
