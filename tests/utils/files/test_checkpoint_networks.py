"""What a network in a checkpoint keeps of its layers, and which ones cannot be."""

import pytest
import torch
import yaml
from torch import nn

from models.yolo import DetectionModel
from tests.utils.files.networks import half_of_each, predictions
from utils.errors import InputError
from utils.files.checkpoint import (
    adopt_widths,
    find_tensors,
    finished_content,
    keep_place,
    load_checkpoint,
    read_names,
    save_checkpoint,
)


def test_a_finished_file_is_ready_to_run_and_holds_nothing_else(tiny_config):
    model = DetectionModel(tiny_config).train()
    model.model[-1].grid = [torch.ones(1, 2)] * 3
    content = finished_content(model, epoch=7, extra="kept")
    found = content["model"]
    assert (content["epoch"], content["extra"], content["optimizer"], content["ema"]) == (7, "kept", None, None)
    assert {p.dtype for p in found.parameters()} == {torch.float16} and not any(
        p.requires_grad for p in found.parameters()
    )
    assert not any(module.training for module in found.modules()) and model.training
    detect = found.model[-1]
    assert [g.numel() for g in (*detect.grid, *detect.anchor_grid)] == [0] * 6 and model.model[-1].grid[0].numel() == 2


def test_tensors_of_a_file_become_float32_and_counters_stay_whole_numbers(tiny_config, tmp_path):
    model = DetectionModel(tiny_config)
    model.model[0].bn.num_batches_tracked += 5
    save_checkpoint(tmp_path / "x.pt", finished_content(model, epoch=2, date="today"))
    loaded = load_checkpoint(tmp_path / "x.pt")
    state = loaded.model.state_dict()
    assert (
        state["model.0.bn.num_batches_tracked"] == 5 and not state["model.0.bn.num_batches_tracked"].is_floating_point()
    )
    assert {value.dtype for value in state.values()} == {torch.float32, torch.int64}
    assert all(p.requires_grad for p in loaded.model.parameters()) and not loaded.model.training
    assert loaded.entries["date"] == "today" and not {"model", "ema"} & set(loaded.entries) and loaded.ema is None


def test_a_moving_average_beside_the_model_is_read_too(tiny_config, tmp_path):
    model, average = DetectionModel(tiny_config), DetectionModel(tiny_config)
    torch.save({"model": model, "ema": average, "epoch": 1}, tmp_path / "x.pt")
    loaded = load_checkpoint(tmp_path / "x.pt")
    for found, written in ((loaded.model, model), (loaded.ema, average)):
        assert torch.equal(found.model[0].conv.weight, written.model[0].conv.weight)


def test_pruned_layers_say_their_widths(tmp_path, tiny_config):
    torch.save({"model": half_of_each(DetectionModel(tiny_config))}, tmp_path / "x.pt")
    for module in load_checkpoint(tmp_path / "x.pt").model.modules():
        if isinstance(module, nn.Conv2d):
            assert (module.out_channels, module.in_channels // module.groups) == module.weight.shape[:2]
            assert module.kernel_size == module.weight.shape[2:]
        if isinstance(module, nn.BatchNorm2d):
            assert module.num_features == len(module.weight)


@pytest.mark.parametrize(
    ("layer", "width"), [(nn.Conv2d(8, 8, 3, groups=8), 5), (nn.Conv2d(8, 8, 3, groups=2), 8), (nn.Conv2d(1, 1, 3), 1)]
)
def test_convolutions_in_groups_take_the_widths_of_their_tensors(layer, width):
    groups = width if layer.groups == layer.in_channels else layer.groups
    layer.weight = nn.Parameter(layer.weight[:width])
    adopt_widths(layer)
    assert (layer.in_channels, layer.out_channels, layer.groups) == (width, width, groups)
    linear = nn.Linear(4, 3)
    linear.weight = nn.Parameter(torch.zeros(2, 6))
    adopt_widths(linear)
    assert (linear.in_features, linear.out_features) == (6, 2)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ({"epoch": 1, "opt": 2}, "no YOLOv5 detection model inside \\(found: epoch, opt\\)"),
        ([1, 2], "no YOLOv5 detection model inside \\(found: list\\)"),
        ({"model": nn.Conv2d(1, 1, 1)}, "no YOLOv5 detection model inside \\(found: model\\)"),
        ({f"k{i}": 1 for i in range(9)}, "found: k0, k1, k2, k3, k4, k5\\)"),
    ],
)
def test_what_was_found_in_the_place_of_a_network_is_named(tmp_path, content, words):
    torch.save(content, tmp_path / "x.pt")
    with pytest.raises(InputError, match=words):
        load_checkpoint(tmp_path / "x.pt")


@pytest.mark.parametrize("key", ["state_dict", "model_state_dict", "model", "ema"])
def test_tensors_are_found_under_the_usual_names(key):
    tensors = {"module.a.weight": torch.ones(1), "b": torch.zeros(1)}
    assert set(find_tensors({"epoch": 1, key: tensors})) == {"a.weight", "b"}
    assert find_tensors({"epoch": 1, "else": tensors}) is None
    assert find_tensors({"model": {}}) is find_tensors([]) is None
    assert find_tensors({key: {"a": torch.ones(1), "b": 2}}) is None


def test_a_block_that_another_replaced_is_refused_by_its_place(tiny_config, tmp_path):
    model = DetectionModel(tiny_config).eval()
    model.model[9].m = nn.AvgPool2d(5, 1, 2)
    torch.save({"model": model}, tmp_path / "x.pt")
    with pytest.raises(InputError, match="model.model.9.m: the rows say .*MaxPool2d, the file holds .*AvgPool2d"):
        load_checkpoint(tmp_path / "x.pt")


def test_a_layer_replaced_by_nothing_keeps_its_place(tiny_config, tmp_path):
    model = DetectionModel(tiny_config).eval()
    gone = model.model[6]
    model.model[6] = keep_place(gone, nn.Identity())
    assert (model.model[6].i, model.model[6].f, model.model[6].type) == (gone.i, gone.f, gone.type)
    assert not hasattr(keep_place(nn.Identity(), nn.Identity()), "i")


def test_an_addition_that_was_switched_off_stays_off(tiny_config, tmp_path):
    model = DetectionModel(tiny_config).eval()
    assert model.model[2].m[0].add
    model.model[2].m[0].add = False
    torch.save({"model": model}, tmp_path / "x.pt")
    loaded = load_checkpoint(tmp_path / "x.pt").model
    assert loaded.model[2].m[0].add is False and loaded.model[4].m[0].add is True
    assert torch.equal(predictions(loaded), predictions(model))


def test_a_model_without_rows_is_refused(tiny_config, tmp_path):
    model = DetectionModel(tiny_config)
    model.yaml = None
    torch.save({"model": model}, tmp_path / "x.pt")
    with pytest.raises(InputError, match="x.pt: the model carries no yaml rows"):
        load_checkpoint(tmp_path / "x.pt")


def test_grids_of_older_files_are_left_out(tiny_config, tmp_path):
    model = DetectionModel(tiny_config)
    (tmp_path / "tiny.yaml").write_text(yaml.safe_dump(tiny_config))
    torch.save({**model.state_dict(), "model.24.anchor_grid": torch.zeros(3)}, tmp_path / "x.pt")
    loaded = load_checkpoint(tmp_path / "x.pt", tmp_path / "tiny.yaml").model
    assert loaded.model[-1].na == 3 and "model.24.anchor_grid" not in loaded.state_dict()


def test_a_network_for_grey_images_keeps_its_first_convolution_whole(tiny_config, tmp_path):
    model = DetectionModel({**tiny_config, "ch": 1}).eval()
    save_checkpoint(tmp_path / "grey.pt", finished_content(model))
    loaded = load_checkpoint(tmp_path / "grey.pt").model
    image = torch.rand(1, 1, 64, 64)
    assert loaded.model[0].conv.groups == 1
    assert torch.allclose(loaded(image)[0], model.half().float()(image)[0], atol=1e-3)


def test_a_finished_file_holds_no_grids(tiny_config, tmp_path):
    model = DetectionModel(tiny_config).eval()
    model(torch.zeros(1, 3, 64, 64))
    assert all(grid.numel() for grid in model.model[-1].anchor_grid)
    detect = finished_content(model)["model"].model[-1]
    assert [grid.numel() for grid in (*detect.grid, *detect.anchor_grid)] == [0] * 2 * detect.nl


@pytest.mark.parametrize(
    ("tamper", "said"),
    [
        (lambda m: setattr(m, "names", ["x" * 1001, "b"]), "class name of 1,001 characters"),
        (
            lambda m: setattr(m.model[0].conv, "weight", expanded(m.model[0].conv.weight)),
            "which the file does not hold",
        ),
        (lambda m: m.model[0].bn.running_var.fill_(-1), "negative variance"),
        (lambda m: m.model[0].bn.weight.data.fill_(torch.inf), "holds infinity"),
        (lambda m: setattr(m.model[-1], "anchors", m.model[-1].anchors[:1]), "anchors"),
    ],
)
def test_a_network_that_cannot_be_is_refused(tiny_config, tmp_path, tamper, said):
    content = finished_content(DetectionModel(tiny_config))
    tamper(content["model"])
    torch.save(content, tmp_path / "x.pt")
    with pytest.raises(InputError, match=said) as error:
        load_checkpoint(tmp_path / "x.pt")
    assert str(error.value).startswith(str(tmp_path / "x.pt"))


def test_a_name_of_1000_characters_is_not_too_long():
    assert read_names(["x" * 1000], 1) == {0: "x" * 1000}


def expanded(weight):
    """Return a parameter of the same shape that repeats one value."""
    return nn.Parameter(torch.ones(1, dtype=weight.dtype).expand(weight.shape), requires_grad=False)
