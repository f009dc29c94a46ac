"""The public repository's own smoke commands, as they stand, on a coco128 and a yolov5n.pt that were made here."""

import runpy

import cv2
import pytest
import torch
import yaml

from models.yolo import DetectionModel
from utils.data.config import load_data
from utils.data.shapes import draw_image
from utils.files.checkpoint import finished_content, load_checkpoint, save_checkpoint
from utils.files.paths import ROOT

BEST = "runs/train/exp/weights/best.pt"


def run(line, capsys):
    """Run a command line of a script of the project, in this process; return the lines that it printed."""
    script, *words = line.split()[1:]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("sys.argv", [script, *words])
        runpy.run_path(str(ROOT / script), run_name="__main__")
    return capsys.readouterr().out.splitlines()


@pytest.fixture
def workplace(tmp_path, monkeypatch):
    """Be in a folder with datasets/coco128 and yolov5n.pt, as they are once they have been downloaded."""
    for kind in ("images", "labels"):
        (tmp_path / "datasets/coco128" / kind / "train2017").mkdir(parents=True)
    for number in range(8):
        image, labels = draw_image(64, [3, number])
        cv2.imwrite(str(tmp_path / f"datasets/coco128/images/train2017/{number:012d}.jpg"), image)
        rows = "".join(f"{int(kind) * 16} {x:.6f} {y:.6f} {w:.6f} {h:.6f}\n" for kind, x, y, w, h in labels)
        (tmp_path / f"datasets/coco128/labels/train2017/{number:012d}.txt").write_text(rows)
    torch.manual_seed(0)
    rows = yaml.safe_load((ROOT / "models/yolov5n.yaml").read_text())
    model = DetectionModel({**rows, "width_multiple": 0.125})
    model.names = load_data("coco128.yaml").names
    save_checkpoint(tmp_path / "yolov5n.pt", finished_content(model))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_train_val_and_detect(workplace, capsys):
    start = "--weights yolov5n.pt --cfg yolov5n.yaml"
    said = run(f"python train.py --imgsz 64 --batch 32 {start} --epochs 1 --device cpu", capsys)
    assert "train: 8 found, 0 missing, 0 empty, 0 corrupt, 0 duplicate" in said
    assert load_checkpoint(BEST).model.names[0] == "person"
    said = run(f"python val.py --imgsz 64 --batch 32 --weights {BEST} --device cpu", capsys)
    (table,) = (line.split() for line in said if line.split()[:1] == ["all"])
    assert table[1] == "8" and len(table) == 7
    assert said[-1] == "Results saved to runs/val/exp"
    for number, weights in (("", "yolov5n.pt"), ("2", BEST)):
        said = run(f"python detect.py --imgsz 64 --weights {weights} --device cpu", capsys)
        assert said[0].startswith(f"image 1/3 {ROOT / 'data/images/shapes1.jpg'}: 64x64 ")
        found = {file.name for file in (workplace / f"runs/detect/exp{number}").iterdir()}
        assert found == {file.name for file in (ROOT / "data/images").iterdir()} >= {"shapes1.jpg", "shapes2.jpg"}
