"""What slim.py refuses, in one line and before anything starts."""

import runpy
import shutil

import pytest

from tests.slim.runs import start
from utils.files.paths import ROOT


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("--flops 1", "--flops 1: the start has 100.0% of the FLOPs: the goal is met already"),
        ("--size-mb 50", "the goal is met already"),
        ("--min-map 0.9", "breaks a rule as it is: mAP50-95"),
        ("--steps 1 --weights none.pt", "none.pt"),
        ("--steps 1 --hyp none.yaml", "none.yaml: no such hyp file"),
        ("--steps 1 --out none/out.pt", "the folder none does not exist"),
        ("--config bad.yaml", "unknown key 'sharre'; did you mean 'share'?"),
        ("--flops 0.5 --params 0.5", "exclude each other"),
        ("--steps 1 --activation Swish", "--activation: unknown 'Swish'"),
    ],
)
def test_bad_input_is_one_line_and_starts_nothing(words, message, place, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "bad.yaml").write_text("sharre: 0.5\n")
    common = [
        "--weights",
        start(place, "start.pt"),
        "--data",
        str(place / "shapes/shapes.yaml"),
        "--img",
        "64",
        "--workers",
        "0",
    ]
    monkeypatch.setattr("sys.argv", ["slim.py", *common, *words.split()])
    with pytest.raises(SystemExit) as exit:
        runpy.run_path(str(ROOT / "slim.py"), run_name="__main__")
    said = capsys.readouterr()
    assert exit.value.code == 2 and message in said.err and said.err.count("\n") == 1
    assert [path.name for path in tmp_path.iterdir()] == ["bad.yaml"]


@pytest.mark.parametrize(
    ("words", "refused"), [("--max-drop 0.01", True), ("--min-map 0", True), ("--sweep", True), ("--flops 1", False)]
)
def test_rules_on_map_are_refused_where_no_object_is_validated(words, refused, place, tmp_path, monkeypatch, capsys):
    """With --flops 1 something else is said: that the goal is met already."""
    data = tmp_path / "empty"
    shutil.copytree(place / "shapes", data, ignore=shutil.ignore_patterns("*.npz"))
    for file in (data / "labels/val").glob("*.txt"):
        file.write_text("")
    common = ["--weights", start(place, "start.pt"), "--data", str(data / "shapes.yaml"), "--project", str(tmp_path)]
    more = ["--img", "64", "--workers", "0", "--device", "cpu"]
    monkeypatch.setattr("sys.argv", ["slim.py", *common, *more, *words.split()])
    with pytest.raises(SystemExit) as exit:
        runpy.run_path(str(ROOT / "slim.py"), run_name="__main__")
    said = capsys.readouterr().err.strip().splitlines()[-1]
    assert exit.value.code == 2 and ("holds not one object" in said) is refused and not (tmp_path / "exp").exists()
