import pytest
import yaml

from utils.errors import InputError
from utils.files.hyp import load_hyp
from utils.files.paths import ROOT

LOW = yaml.safe_load((ROOT / "data/hyps/hyp.scratch-low.yaml").read_text())


def write(tmp_path, content):
    file = tmp_path / "hyp.yaml"
    file.write_text(content if isinstance(content, str) else yaml.safe_dump(content))
    return file


@pytest.mark.parametrize("name", sorted(file.name for file in (ROOT / "data/hyps").glob("*.yaml")))
def test_files_of_the_project_are_valid(name):
    assert load_hyp(name)["lr0"] > 0


def test_adamw_differs_in_rates_only():
    adamw = load_hyp("hyp.adamw.yaml")
    assert {key for key, value in adamw.items() if value != LOW[key]} == {"lr0", "lrf", "warmup_bias_lr"}


def test_older_files_lack_keys(tmp_path):
    old = {k: v for k, v in LOW.items() if k not in ("copy_paste", "cls_pw")}
    assert load_hyp(write(tmp_path, old))["cls_pw"] == 1.0


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (LOW | {"lr": 0.1}, "unknown key 'lr'"),
        (LOW | {"lr0": "fast"}, "lr0: 'fast' must be a number"),
        (LOW | {"mosaic": 1.5}, "mosaic: 1.5 must be a number from 0 to 1"),
        (LOW | {"momentum": float("nan")}, "momentum: nan"),
        (LOW | {"lr0": True}, "lr0: True"),
        ({k: v for k, v in LOW.items() if k != "box"}, "missing key box"),
        ("- 1", "must be a YAML mapping"),
        ("lr0: [", "not valid YAML"),
        ("lr0: \0", "not valid YAML"),
    ],
)
def test_bad_files(tmp_path, content, message):
    with pytest.raises(InputError, match=message):
        load_hyp(write(tmp_path, content))
