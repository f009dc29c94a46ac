"""The network in layers of the public parser gives what the pruned one gives."""

from copy import deepcopy

import pytest
import torch
import yaml

from models.common import C3Ghost
from models.yolo import DetectionModel
from utils.errors import InputError
from utils.export.export import export
from utils.export.options import ExportOptions
from utils.export.yolov5 import expansion, stock_network
from utils.files.checkpoint import finished_content, load_checkpoint, save_checkpoint
from utils.files.paths import ROOT

IMAGES = torch.rand(1, 3, 64, 64, generator=torch.Generator().manual_seed(3))


@pytest.fixture(scope="module")
def dense(make_lively):
    """Return yolov5n for three classes."""
    return make_lively({**yaml.safe_load((ROOT / "models/yolov5n.yaml").read_text()), "nc": 3})


@pytest.fixture(scope="module")
def narrow(dense, make_narrow):
    """Return it pruned to uneven widths in multiples of 8."""
    return make_narrow(dense, 8)


def test_the_stock_network_gives_the_same(narrow):
    config, stock = stock_network(narrow)
    expected, found = narrow(IMAGES)[0], stock(IMAGES)[0]
    assert expected.std() > 1 and torch.allclose(found, expected, rtol=1e-4, atol=1e-4)
    assert config["width_multiple"] == config["depth_multiple"] == 1.0 and "channel_multiple" not in config
    names = [row[2] for row in (*config["backbone"], *config["head"])]
    assert {"Conv", "Bottleneck", "Concat", "nn.MaxPool2d"} < set(names)
    assert all(row[3][0] % 8 == 0 for row in (*config["backbone"], *config["head"]) if row[2] in ("Conv", "Bottleneck"))


def test_a_dense_network_keeps_its_rows(dense):
    config, stock = stock_network(dense)
    assert [row[2] for row in config["backbone"]] == [row[2] for row in dense.yaml["backbone"]]
    assert [row[2] for row in config["head"]] == [row[2] for row in dense.yaml["head"]]
    assert config["backbone"][2] == [-1, 1, "C3", [32]] and config["backbone"][4] == [-1, 2, "C3", [64]]
    assert torch.allclose(stock(IMAGES)[0], dense(IMAGES)[0], rtol=1e-5, atol=1e-5)


def test_a_block_that_was_left_out_needs_no_row(narrow):
    # A silent bottleneck is an Identity in its place.
    cut = deepcopy(narrow)
    cut.model[4].m[0] = torch.nn.Identity()
    _, stock = stock_network(cut)
    assert torch.allclose(stock(IMAGES)[0], cut(IMAGES)[0], rtol=1e-4, atol=1e-4)


def test_widths_off_the_grid_say_so(dense, make_narrow):
    config, stock = stock_network(make_narrow(dense, 3))
    assert config["channel_multiple"] < 8 and stock(IMAGES)[0].isfinite().all()


@pytest.mark.parametrize(("hidden", "out"), [(1, 8), (8, 24), (40, 48), (7, 9), (333, 1000), (16, 8)])
def test_the_expansion_gives_the_hidden_width_as_the_public_parser_computes_it(hidden, out):
    assert int(out * expansion(hidden, out)) == hidden


def test_layers_without_public_parts_are_named(dense):
    model = deepcopy(dense)
    ghost = C3Ghost(32, 32)
    ghost.cv1.conv = torch.nn.Conv2d(32, 16, 1, bias=False)
    ghost.i, ghost.f = 2, -1
    model.model[2] = ghost
    with pytest.raises(InputError, match=r"layer 2 \(C3\): uneven widths in a C3Ghost"):
        stock_network(model)


def test_the_export_writes_yaml_and_weights_for_train(narrow, tmp_path, capsys):
    narrow.names = {0: "a", 1: "b", 2: "c"}
    save_checkpoint(tmp_path / "x.pt", finished_content(narrow))
    (exported,) = export(ExportOptions(weights=str(tmp_path / "x.pt"), include=["yolov5"], imgsz=[64]))
    assert exported.path == tmp_path / "x_yolov5.pt" and not exported.broken
    rows = yaml.safe_load((tmp_path / "x_yolov5.yaml").read_text())
    built = DetectionModel(rows)
    loaded = load_checkpoint(exported.path).model
    assert built.load_state_dict(loaded.state_dict())  # every name and shape fits
    assert loaded.names == narrow.names
    assert torch.allclose(built.eval()(IMAGES)[0], load_checkpoint(tmp_path / "x.pt").model(IMAGES)[0], atol=1e-3)
