"""What a pickle's objects become: inert records, plain values, and refusals that name what was found."""

import fractions
import pathlib

import pytest
import torch
from torch import nn

from models.errors import SpecError
from models.yolo import DetectionModel
from utils.errors import InputError
from utils.files.pickles import StandIn, is_model, known_classes, merged, plain, read_activation, read_file


def record(kind="", **attributes):
    found = StandIn()
    found.__setstate__({"kind": kind, **attributes})
    return found


def test_a_record_holds_attributes_and_ignores_any_other_state():
    found = StandIn("a", 2)
    found.__setstate__({"width": 3})
    found.__setstate__(("slots", None))
    assert (found.args, found.width) == (("a", 2), 3)


def test_values_lose_their_records_at_any_depth():
    value = {"a": [1, StandIn(), (2.5, StandIn())], "b": {"c": StandIn(), "d": "text"}, "e": StandIn()}
    assert plain(value) == {"a": [1, None, (2.5, None)], "b": {"c": None, "d": "text"}, "e": None}


def test_a_module_dictionary_may_be_absent_but_not_something_else():
    assert merged(record(), "_buffers") == merged(record(_buffers=None), "_buffers") == {}
    assert merged(record(_buffers={"a": 1}), "_buffers") == {"a": 1}
    with pytest.raises(SpecError, match="_buffers: .* must be a dictionary"):
        merged(record(_buffers=[1]), "_buffers")


@pytest.mark.parametrize(
    ("kind", "settings", "expected"),
    [
        ("LeakyReLU", {"negative_slope": 0.3, "inplace": True, "training": True}, nn.LeakyReLU(0.3, inplace=True)),
        ("SiLU", {"inplace": True, "alpha_of_another": 1}, nn.SiLU(inplace=True)),
        ("Hardswish", {}, nn.Hardswish()),
    ],
)
def test_activations_keep_their_settings(kind, settings, expected):
    found = read_activation(record(f"torch.nn.modules.activation.{kind}", **settings))
    assert repr(found) == repr(expected) and found.inplace == expected.inplace


def test_detection_networks_are_told_from_everything_else(tiny_config, tmp_path):
    torch.save({"model": DetectionModel(tiny_config), "epoch": 3, "layer": nn.Conv2d(1, 1, 1)}, tmp_path / "x.pt")
    content = read_file(tmp_path / "x.pt")
    assert is_model(content["model"]) and isinstance(content["model"], StandIn)
    assert not any(map(is_model, (content["epoch"], content["layer"], None, DetectionModel(tiny_config))))
    assert content["epoch"] == 3 and content["layer"].kind == "torch.nn.modules.conv.Conv2d"
    assert is_model(record("models.yolo.Model"))


def test_no_known_class_is_the_real_one():
    classes = known_classes()
    assert {"models.common.C3", "models.yolo.Detect", "pathlib.PosixPath", "torch.nn.modules.linear.Linear"} <= set(
        classes
    )
    assert all(issubclass(cls, StandIn) and cls.kind == name for name, cls in classes.items())


def test_a_path_in_a_file_is_a_record_and_no_path(tmp_path):
    torch.save({"weights": pathlib.PurePosixPath("a") and pathlib.Path("a")}, tmp_path / "x.pt")
    assert type(read_file(tmp_path / "x.pt")["weights"]).__mro__[1] is StandIn


def test_a_class_from_elsewhere_is_refused_by_name(tmp_path):
    torch.save({"x": fractions.Fraction(1, 2)}, tmp_path / "x.pt")
    with pytest.raises(InputError, match="x.pt: .*fractions.Fraction"):
        read_file(tmp_path / "x.pt")


def test_a_folder_or_nothing_in_the_place_of_a_file(tmp_path):
    for path in (tmp_path, tmp_path / "none.pt"):
        with pytest.raises(InputError, match="no such weight file"):
            read_file(path)
