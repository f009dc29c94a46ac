"""The example for YOLOv8 and YOLO11: what it writes, that package loads. Needs ultralytics, which is not required."""

import importlib.util
from pathlib import Path

import pytest
import torch

ultralytics = pytest.importorskip("ultralytics")

EXAMPLE = Path(__file__).parent.parent / "examples/ultralytics/prune_ultralytics.py"


@pytest.mark.parametrize("name", ["yolov8n", "yolo11n", "yolov8n-seg", "yolo11n-seg"])
def test_a_pruned_file_is_loaded_and_gives_as_many_maps(name, tmp_path, capsys):
    spec = importlib.util.spec_from_file_location("example", EXAMPLE)
    example = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(example)
    ultralytics.YOLO(f"{name}.yaml").save(tmp_path / "whole.pt")
    assert example.main(["--weights", str(tmp_path / "whole.pt"), "--flops", "0.4"]) == 0
    whole, narrow = (ultralytics.YOLO(tmp_path / file).model.eval() for file in ("whole.pt", "whole_pruned.pt"))
    assert "of the parameters are left" in capsys.readouterr().out
    assert sum(p.numel() for p in narrow.parameters()) < 0.9 * sum(p.numel() for p in whole.parameters())
    image = torch.rand(1, 3, 64, 64)
    assert narrow(image)[0][0].shape == whole(image)[0][0].shape
    for block in narrow.modules():  # the form for export says the same
        if hasattr(block, "forward_split"):
            block.forward = block.forward_split
    assert narrow(image)[0][0].shape == whole(image)[0][0].shape
