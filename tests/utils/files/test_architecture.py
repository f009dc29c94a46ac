"""A model yaml beside a checkpoint."""

import yaml

from models.yolo import DetectionModel
from utils.files.architecture import differences, say_differences, transfer_tensors


def test_a_model_yaml_that_differs_is_said_by_its_keys(tiny_config, tmp_path):
    model, lines = DetectionModel(tiny_config), []
    (tmp_path / "other.yaml").write_text(yaml.safe_dump({**tiny_config, "width_multiple": 0.5, "nc": 9}))
    say_differences(model, tmp_path / "other.yaml", lines.append)
    assert lines == ["--cfg other.yaml differs from the checkpoint in width_multiple; the checkpoint alone decides"]
    (tmp_path / "same.yaml").write_text(yaml.safe_dump(tiny_config))
    say_differences(model, tmp_path / "same.yaml", lines.append)
    assert len(lines) == 1


def test_a_pruned_network_differs_in_the_widths_of_its_layers(tiny_config, tmp_path, make_narrow):
    (tmp_path / "same.yaml").write_text(yaml.safe_dump(tiny_config))
    narrow = make_narrow(DetectionModel(tiny_config), 8)
    (words,) = differences(narrow, tmp_path / "same.yaml")
    whole = DetectionModel(tiny_config).state_dict()
    other = [
        name for name, tensor in narrow.state_dict().items() if tensor.ndim == 4 and tensor.shape != whole[name].shape
    ]
    assert words == f"the widths of {len(other)} layers" and other


def test_what_fits_by_name_and_shape_is_transferred(tiny_config):
    old, new = DetectionModel(tiny_config), DetectionModel({**tiny_config, "nc": 7})
    for model, value in ((old, 1.0), (new, 2.0)):
        for tensor in model.state_dict().values():
            tensor.fill_(value)
    count, total = transfer_tensors(old, new)
    taken = [name for name, tensor in new.state_dict().items() if (tensor == 1).all()]
    left = [f"model.24.m.{i}.{kind}" for i in range(3) for kind in ("weight", "bias")] + ["model.24.anchors"]
    assert (count, total) == (len(taken), len(new.state_dict())) and set(new.state_dict()) - set(taken) == set(left)
    assert all((tensor == 1).all() for tensor in old.state_dict().values())
