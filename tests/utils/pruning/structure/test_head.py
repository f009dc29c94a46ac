"""What stays of the head predicts what it did before, and the checkpoint still describes itself."""

import numpy as np
import pytest
import torch
import yaml

from models.cost import count_parameters
from models.yolo import DetectionModel
from utils.errors import InputError
from utils.files.checkpoint import finished_content, load_checkpoint, save_checkpoint
from utils.files.paths import ROOT
from utils.pruning.channels.groups import trace_channels
from utils.pruning.channels.rebuild import rebuild
from utils.pruning.structure.head import class_indices, drop_scales, keep_classes, scale_names, split_words

EXACT = {"atol": 1e-5, "rtol": 0}


def tiny(name, nc=3):
    """Return a network of the zoo at an eighth of its width, one block where it repeats them."""
    config = yaml.safe_load(next(ROOT.glob(f"models/**/{name}.yaml")).read_text())
    return DetectionModel({**config, "nc": nc, "width_multiple": 0.125, "depth_multiple": 0.33})


def raw(model, size=128):
    """Return the raw maps of all scales [B, na, ny, nx, 5 + nc] for one image."""
    images = torch.rand(1, 3, size, size, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        return model.eval()(images)[1]


def reloaded(model, folder):
    """Return a network as it comes back from its file."""
    save_checkpoint(folder / "x.pt", finished_content(model))
    return load_checkpoint(folder / "x.pt").model


def assert_describes_itself(model, built):
    """Check indices, sources and saved maps of every layer against those of `built`, made from the yaml rows alone."""
    assert len(built.model) == len(model.model)
    for layer, twin in zip(model.model, built.model):
        assert (layer.i, layer.f, layer.type) == (twin.i, twin.f, twin.type)
        assert layer.np == sum(p.numel() for p in layer.parameters())
    assert model.save == built.save
    detect = model.model[-1]
    assert detect.nl == len(detect.m) == len(detect.f) == len(detect.anchors) == len(detect.stride) == len(detect.grid)
    assert torch.equal(model.stride, built.stride) and torch.equal(detect.stride, built.model[-1].stride)
    assert all(conv.out_channels == detect.na * (5 + model.nc) for conv in detect.m)


# By hand from the rows: which layers only lead to the dropped scales.
DROPS = [
    ("yolov5n", ["P5"], [21, 22, 23]),  # the backbone down to P5 stays: the finer scales read it
    ("yolov5n", ["P3"], []),  # layer 17 leads to P4 too
    ("yolov5n", ["P4", "P5"], [18, 19, 20, 21, 22, 23]),
    ("yolov5n6", ["P6"], [30, 31, 32]),
    ("yolov5n6", ["P3", "P5", "P6"], [27, 28, 29, 30, 31, 32]),
    ("yolov5-p2", ["P4", "P5"], [25, 26, 27, 28, 29, 30]),
    ("yolov3-tiny", ["P4"], [16, 17, 18, 19]),
    ("yolov3-tiny", ["P5"], [15]),  # 14 also leads to P4, by its source −2
    ("yolov5-fpn", ["P3"], [15, 16, 17, 18]),  # no bottom-up path reads the finest scale
]


@pytest.mark.parametrize(("name", "dropped", "gone"), DROPS, ids=[f"{n} {'+'.join(d)}" for n, d, _ in DROPS])
def test_scales_that_stay_predict_as_before(name, dropped, gone, stirred, tmp_path):
    model = stirred(tiny(name))
    narrow, removed = drop_scales(model, dropped)
    assert removed == gone
    kept = [i for i, scale in enumerate(scale_names(model)) if scale not in dropped]
    expected = [raw(model)[i] for i in kept]
    for want, got in zip(expected, raw(narrow), strict=True):
        torch.testing.assert_close(got, want, **EXACT)
    again = reloaded(narrow, tmp_path)
    assert_describes_itself(narrow, again)
    stored = raw(finished_content(model)["model"].float())
    for want, got in zip([stored[i] for i in kept], raw(again), strict=True):
        torch.testing.assert_close(got, want, **EXACT)


def test_decoded_boxes_of_a_kept_scale_are_those_of_before(stirred):
    model = stirred(tiny("yolov5n"))
    image = torch.rand(1, 3, 64, 64)
    with torch.no_grad():
        every, middle = model(image)[0], drop_scales(model, ["P3", "P5"])[0](image)[0]
    cells = [3 * (64 // stride) ** 2 for stride in (8, 16, 32)]
    torch.testing.assert_close(middle, every[:, cells[0] : cells[0] + cells[1]], **EXACT)


def test_scales_after_channels_and_channels_after_scales(stirred, tmp_path):
    model = stirred(tiny("yolov5n"))
    graph, rng = trace_channels(model), np.random.default_rng(0)
    masks = {g.name: rng.random(g.width) < 0.5 for g in graph.free_groups}
    for mask in masks.values():
        mask[0] = True
    cut = rebuild(model, graph, masks)
    narrow, _ = drop_scales(keep_classes(cut, [2]), ["P5"])
    for want, got in zip(raw(cut), raw(narrow)):
        torch.testing.assert_close(got, want[..., [0, 1, 2, 3, 4, 7]], **EXACT)
    assert count_parameters(reloaded(narrow, tmp_path)) == count_parameters(narrow) < count_parameters(cut)
    graph = trace_channels(narrow)
    again = rebuild(narrow, graph, {g.name: np.arange(g.width) < 1 for g in graph.free_groups})
    assert [y.shape for y in raw(reloaded(again, tmp_path))] == [y.shape for y in raw(narrow)]


def test_images_stay_multiples_of_the_coarsest_layer(tmp_path):
    narrow, _ = drop_scales(tiny("yolov5n6"), ["P6"])
    assert narrow.model[-1].stride.tolist() == [8, 16, 32]
    assert narrow.size_multiple == reloaded(narrow, tmp_path).size_multiple == 64  # the top-down path begins at P6
    raw(narrow, 192)
    assert drop_scales(tiny("yolov5n"), ["P5"])[0].stride.tolist() == [8, 16]


def test_the_given_network_is_left_alone():
    model = tiny("yolov5n")
    before = {name: value.clone() for name, value in model.state_dict().items()}
    rows = yaml.safe_dump(model.yaml)
    drop_scales(model, ["P5"])
    keep_classes(model, [1])
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())
    assert yaml.safe_dump(model.yaml) == rows and model.names == {0: "class0", 1: "class1", 2: "class2"}


def test_anchors_of_the_yaml_are_those_in_use():
    model = tiny("yolov5n")
    model.model[-1].anchors[1] *= 2
    narrow, _ = drop_scales(model, ["p3", "P5"])
    assert narrow.yaml["anchors"] == [[60, 122, 124, 90, 118, 238]]


@pytest.mark.parametrize("name", ["yolov5n", "yolov5n6", "yolov3-tiny"])
def test_classes_that_stay_are_predicted_as_before(name, stirred, tmp_path):
    model = stirred(tiny(name, nc=4))
    model.names = dict(enumerate(["cat", "dog", "cow", "2"]))
    indices = class_indices(model.names, ["cow", "cat"])
    assert indices == [2, 0]
    narrow = keep_classes(model, indices)
    for want, got in zip(raw(model), raw(narrow), strict=True):
        torch.testing.assert_close(got, want[..., [0, 1, 2, 3, 4, 7, 5]], **EXACT)
    assert narrow.names == {0: "cow", 1: "cat"} and narrow.nc == narrow.yaml["nc"] == 2
    again = reloaded(narrow, tmp_path)
    assert_describes_itself(narrow, again)
    assert again.names == narrow.names


def test_a_name_comes_before_a_number():
    names = dict(enumerate(["a", "b", "c", "0"]))
    assert class_indices(names, ["0"]) == [3] and class_indices(names, ["1", "c"]) == [1, 2]
    assert split_words(["traffic light, car", "2"]) == ["traffic light", "car", "2"]


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda m: drop_scales(m, ["P6"]), "P6: the model has the scales P3, P4, P5"),
        (lambda m: drop_scales(m, ["P3", "P4", "P5"]), "at least one of P3, P4, P5 must stay"),
        (lambda m: class_indices(m.names, ["7"]), "7: no such class; the model has 0 to 2"),
        (lambda m: class_indices(m.names, ["-1"]), "-1: no such class"),
        (lambda m: class_indices(m.names, ["class1", "1"]), "1: the class is named twice"),
        (lambda m: class_indices(m.names, []), "names no class"),
    ],
)
def test_what_cannot_be_is_said(call, words):
    with pytest.raises(InputError) as error:
        call(tiny("yolov5n"))
    assert words in str(error.value)
