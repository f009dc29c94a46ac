"""The demonstration in a shortened form: every stage, the table, the json and the picture."""

import json

import cv2
import torch
import yaml

from utils.demo.demo import run_demo
from utils.demo.options import DemoOptions
from utils.files.checkpoint import load_checkpoint
from utils.files.paths import ROOT


def test_all_stages_are_reported(tmp_path, capsys):
    config = yaml.safe_load((ROOT / "models/yolov5n.yaml").read_text())
    (tmp_path / "tiny.yaml").write_text(yaml.safe_dump({**config, "width_multiple": 0.125}))
    out = tmp_path / "runs/demo"
    out.mkdir(parents=True)
    (out / "older.txt").write_text("an earlier run")
    run_demo(
        DemoOptions(
            out=str(out),
            cfg=str(tmp_path / "tiny.yaml"),
            epochs=[1, 3, 1],
            percent=0.3,
            images=[16, 4],
            imgsz=64,
            rounds=2,
        )
    )
    stages = {stage["stage"]: stage for stage in json.loads((out / "summary.json").read_text())["stages"]}
    assert list(stages) == ["dense", "sparse", "pruned", "finetuned", "control"]
    keys = {"stage", "map50", "map", "parameters", "gflops", "bytes", "ms_per_image"}
    assert all(set(stage) == keys and stage["ms_per_image"] > 0 for stage in stages.values())
    assert stages["finetuned"]["parameters"] == stages["pruned"]["parameters"] < 0.8 * stages["control"]["parameters"]
    assert stages["pruned"]["bytes"] < stages["sparse"]["bytes"]
    # The channels were at exactly zero, so the cut changes nothing: a mAP of zero would say so of any cut.
    sparse, pruned = (load_checkpoint(out / name).model for name in ("sparse/weights/last.pt", "pruned_model.pt"))
    image = torch.rand(1, 3, 64, 64)
    with torch.no_grad():
        torch.testing.assert_close(pruned(image)[0], sparse(image)[0], atol=1e-2, rtol=1e-3)
    assert cv2.imread(str(out / "summary.png")) is not None
    assert (tmp_path / "runs/demo_1/older.txt").is_file()
    said = capsys.readouterr().out
    assert "the largest gamma among them is 0\n" in said and "finetuned" in said
