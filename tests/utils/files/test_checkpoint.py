"""Checkpoints: plain YOLOv5 ones out, whatever YOLOv5 pickles in, nothing that could run code."""

import os
import pickle
import subprocess
import sys

import numpy as np
import pytest
import torch
import yaml
from torch import nn

from models.cost import count_parameters
from models.yolo import DetectionModel
from tests.utils.files.networks import half_of_each, predictions
from utils.errors import InputError
from utils.files.atomic import write_atomically
from utils.files.checkpoint import finished_content, load_checkpoint, read_names, save_checkpoint

ALLOWED = ("models.common.", "models.yolo.", "torch.nn.modules.")


@pytest.mark.parametrize("change", [lambda m: m, half_of_each], ids=["dense", "pruned"])
def test_what_is_saved_loads_with_the_same_output(tiny_config, tmp_path, change):
    model = change(DetectionModel(tiny_config).eval())
    content = finished_content(model)
    save_checkpoint(tmp_path / "x.pt", content)
    loaded = load_checkpoint(tmp_path / "x.pt")
    assert torch.equal(predictions(loaded.model), predictions(content["model"]))
    assert loaded.model.names == model.names
    assert loaded.entries["epoch"] == -1 and loaded.entries["optimizer"] is None


def test_a_file_names_stock_classes_only(tiny_config, tmp_path):
    save_checkpoint(tmp_path / "x.pt", finished_content(half_of_each(DetectionModel(tiny_config).eval())))
    named = torch.serialization.get_unsafe_globals_in_checkpoint(tmp_path / "x.pt")
    assert "models.yolo.DetectionModel" in named
    assert all(name.startswith(ALLOWED) for name in named)


def test_finished_files_are_half_precision_and_small(tiny_config, tmp_path):
    model = DetectionModel(tiny_config)
    save_checkpoint(tmp_path / "x.pt", finished_content(model))
    # The rest: statistics, names, zip entries.
    assert (tmp_path / "x.pt").stat().st_size < 2 * count_parameters(model) + 200_000
    assert all(p.dtype == torch.float32 for p in model.parameters())  # the given one is left alone


def test_a_file_that_could_run_code_is_refused_and_named(tiny_config, tmp_path):
    class Bomb:
        def __reduce__(self):
            return os.system, (f"touch {tmp_path / 'boom'}",)

    torch.save({"model": Bomb()}, tmp_path / "bad.pt")
    with pytest.raises(InputError, match="(posix|nt).system"):
        load_checkpoint(tmp_path / "bad.pt")
    assert not (tmp_path / "boom").exists()


@pytest.mark.parametrize(
    ("content", "words"),
    [(b"", "not a readable"), (b"not a checkpoint at all", "not a readable"), (b"PK\x03\x04broken", "not a readable")],
)
def test_unreadable_files(tmp_path, content, words):
    (tmp_path / "x.pt").write_bytes(content)
    with pytest.raises(InputError, match=words) as error:
        load_checkpoint(tmp_path / "x.pt")
    assert "x.pt" in str(error.value) and "\n" not in str(error.value)


def dense(model):
    return model


@pytest.mark.parametrize("names", [{1: "a", 2: "b"}, {"x": "a", "y": "b"}, ["a"], None])
def test_names_that_do_not_fit_are_numbers(names):
    assert read_names(names, 2) == {0: "class0", 1: "class1"}
    assert read_names({"0": "a", 1: 7}, 2) == {0: "a", 1: "7"}


@pytest.mark.parametrize(
    "wrap", [dict, lambda s: {"state_dict": s}, lambda s: {f"module.{k}": v for k, v in s.items()}]
)
@pytest.mark.parametrize("change", [dense, half_of_each, DetectionModel.fuse], ids=["dense", "pruned", "fused"])
def test_a_state_dict_with_a_model_yaml_gives_the_network(tiny_config, tmp_path, change, wrap):
    model = change(DetectionModel(tiny_config).eval())
    (tmp_path / "tiny.yaml").write_text(yaml.safe_dump({**tiny_config, "nc": 80}))  # the tensors know better
    torch.save(wrap(dict(model.state_dict())), tmp_path / "x.pt")
    loaded = load_checkpoint(tmp_path / "x.pt", tmp_path / "tiny.yaml").model
    assert torch.equal(predictions(loaded), predictions(model))
    assert loaded.names == {0: "class0", 1: "class1"}


@pytest.mark.parametrize(
    "change, words",
    [
        (lambda s: s.pop("model.3.conv.weight"), "model.3.conv.weight is missing in the file"),
        (lambda s: s.pop("model.24.m.0.bias"), "model.24.m.0.bias is missing"),
        (lambda s: s.update({"model.3.other.weight": torch.zeros(1)}), "model.3.other.weight: in the file, but not"),
        (lambda s: s.update({"model.3.conv.weight": torch.zeros(16, 7, 3, 3)}), "do not fit"),
    ],
)
def test_a_state_dict_of_another_architecture_is_refused(tiny_config, tmp_path, change, words):
    state = dict(DetectionModel(tiny_config).state_dict())
    change(state)
    torch.save(state, tmp_path / "x.pt")
    (tmp_path / "tiny.yaml").write_text(yaml.safe_dump(tiny_config))
    with pytest.raises(InputError, match=words) as error:
        load_checkpoint(tmp_path / "x.pt", tmp_path / "tiny.yaml")
    assert "x.pt" in str(error.value)


def test_a_state_dict_alone_asks_for_its_architecture(tiny_config, tmp_path):
    torch.save(DetectionModel(tiny_config).state_dict(), tmp_path / "x.pt")
    with pytest.raises(InputError, match="holds tensors only .* --cfg"):
        load_checkpoint(tmp_path / "x.pt")


def test_a_truncated_file_is_refused(tiny_config, tmp_path):
    save_checkpoint(tmp_path / "x.pt", finished_content(DetectionModel(tiny_config)))
    data = (tmp_path / "x.pt").read_bytes()
    (tmp_path / "x.pt").write_bytes(data[: len(data) // 2])
    with pytest.raises(InputError, match="not a readable"):
        load_checkpoint(tmp_path / "x.pt")


def test_a_fused_checkpoint_loads(tiny_config, tmp_path):
    model = DetectionModel(tiny_config).eval()
    expected = predictions(model)
    torch.save({"model": model.fuse()}, tmp_path / "x.pt")
    loaded = load_checkpoint(tmp_path / "x.pt").model
    assert not any(isinstance(m, nn.BatchNorm2d) for m in loaded.modules())
    torch.testing.assert_close(predictions(loaded), expected, atol=1e-3, rtol=1e-3)


def test_an_identity_in_the_place_of_a_block_is_followed(tiny_config, tmp_path):
    model = DetectionModel(tiny_config).eval()
    model.model[6].m[0] = nn.Identity()
    torch.save({"model": model}, tmp_path / "x.pt")
    loaded = load_checkpoint(tmp_path / "x.pt").model
    assert isinstance(loaded.model[6].m[0], nn.Identity)
    assert torch.equal(predictions(loaded), predictions(model))


def test_other_activations_of_older_versions_are_kept(tiny_config, tmp_path):
    model = DetectionModel(tiny_config).eval()
    model.model[0].act = nn.Hardswish()
    model.model[1].act = nn.LeakyReLU(0.2)
    torch.save({"model": model}, tmp_path / "x.pt")
    loaded = load_checkpoint(tmp_path / "x.pt").model
    assert isinstance(loaded.model[0].act, nn.Hardswish) and loaded.model[1].act.negative_slope == 0.2


def test_rows_that_do_not_fit_the_tensors_are_refused(tiny_config, tmp_path):
    model = DetectionModel(tiny_config).eval()
    model.yaml = {**model.yaml, "depth_multiple": 1.0}
    torch.save({"model": model}, tmp_path / "x.pt")
    with pytest.raises(InputError, match="missing in the file"):
        load_checkpoint(tmp_path / "x.pt")


def test_tensors_of_two_layers_that_do_not_fit_each_other_are_refused(tiny_config, tmp_path):
    model = DetectionModel(tiny_config).eval()
    model.model[2].cv1.conv.weight = nn.Parameter(torch.zeros(5, 8, 1, 1))
    torch.save({"model": model}, tmp_path / "x.pt")
    with pytest.raises(InputError, match=r"x.pt: .*layer 2 \(models.common.C3\): its inputs do not fit"):
        load_checkpoint(tmp_path / "x.pt")


def test_a_network_with_nan_is_refused_and_the_tensor_named(tiny_config, tmp_path):
    model = DetectionModel(tiny_config).eval()
    model.model[1].bn.running_var[3] = torch.nan
    torch.save({"model": model}, tmp_path / "x.pt")
    with pytest.raises(InputError, match="model.1.bn.running_var holds NaN"):
        load_checkpoint(tmp_path / "x.pt")


def test_a_pickle_of_something_else_is_one_line(tmp_path, recwarn):
    (tmp_path / "x.pt").write_bytes(pickle.dumps({"a": 1}))
    with pytest.raises(InputError, match="x.pt"):
        load_checkpoint(tmp_path / "x.pt")
    assert not recwarn


def test_names_as_a_list_and_ema_in_the_place_of_the_model(tiny_config, tmp_path):
    model = DetectionModel(tiny_config).eval()
    model.names = ["cat", "dog"]
    torch.save({"model": None, "ema": model}, tmp_path / "x.pt")
    assert load_checkpoint(tmp_path / "x.pt").model.names == {0: "cat", 1: "dog"}


def test_a_crash_while_writing_leaves_the_old_file(tmp_path, monkeypatch):
    write_atomically(tmp_path / "x.pt", b"old")

    def crash(*args):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", crash)
    with pytest.raises(InputError, match="No space left"):
        write_atomically(tmp_path / "x.pt", b"new")
    assert (tmp_path / "x.pt").read_bytes() == b"old"
    assert [p.name for p in tmp_path.iterdir()] == ["x.pt"]


def test_the_public_weights_load_by_the_safe_path(shared_data):
    loaded = load_checkpoint(shared_data / "weights/yolov5n.pt")
    assert count_parameters(loaded.model) == 1872157
    assert loaded.model.names[0] == "person" and loaded.model.nc == 80


@pytest.mark.slow
@pytest.mark.parametrize("change", [lambda m: m, half_of_each], ids=["dense", "pruned"])
def test_the_public_runtime_runs_what_we_write(shared_data, tmp_path, change):
    model = change(load_checkpoint(shared_data / "weights/yolov5n.pt").model)
    content = finished_content(model)
    save_checkpoint(tmp_path / "x.pt", content)
    np.save(tmp_path / "y.npy", predictions(content["model"], 128).numpy())
    command = [
        sys.executable,
        shared_data.parent / "tools/public_runtime.py",
        "x.pt",
        "--image-size",
        "128",
        "--expect",
        "y.npy",
    ]
    result = subprocess.run(list(map(str, command)), cwd=tmp_path, capture_output=True, text=True)
    assert result.returncode == 0, result.stdout + result.stderr


def test_a_file_in_the_place_of_a_folder_is_named_and_stays(tmp_path):
    (tmp_path / "runs").write_text("notes")
    with pytest.raises(InputError, match="best.pt: cannot be written"):
        write_atomically(tmp_path / "runs" / "weights" / "best.pt", b"new")
    assert (tmp_path / "runs").read_text() == "notes"
