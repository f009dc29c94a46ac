"""Every flag that users of the public YOLOv5 type is known, with its other spellings."""

import pytest

from utils.deploy.exporting import ExportOptions
from utils.detection import DetectOptions
from utils.options import build_parser
from utils.pruning.sparsity import SparsityOptions
from utils.training import TrainOptions
from utils.validation import ValidationOptions

TRAIN = """--weights --cfg --data --hyp --epochs --batch-size --batch --imgsz --img --img-size --rect --resume --nosave
    --noval --noautoanchor --noplots --cache --image-weights --device --multi-scale --single-cls --optimizer --sync-bn
    --workers --project --name --exist-ok --quad --cos-lr --label-smoothing --patience --freeze --save-period --seed"""
VAL = """--data --weights --batch-size --batch --imgsz --img --img-size --conf-thres --iou-thres --max-det --task
    --device --workers --single-cls --augment --verbose --save-txt --save-hybrid --save-conf --save-json --project
    --name --exist-ok --half --dnn"""
DETECT = """--weights --source --data --imgsz --img --img-size --conf-thres --iou-thres --max-det --device --view-img
    --save-txt --save-conf --save-crop --nosave --classes --agnostic-nms --augment --visualize --project --name
    --exist-ok --line-thickness --hide-labels --hide-conf --half --dnn --vid-stride"""
EXPORT = """--data --weights --imgsz --img --img-size --batch-size --device --half --int8 --dynamic --simplify --opset
    --include"""


@pytest.mark.parametrize(
    "options, flags",
    [(TrainOptions, TRAIN), (SparsityOptions, TRAIN + " --st --sr"), (ValidationOptions, VAL), (DetectOptions, DETECT),
     (ExportOptions, EXPORT)],
)  # fmt: skip
def test_public_flags_are_known(options, flags):
    known = {spelling for action in build_parser(options, "")._actions for spelling in action.option_strings}
    assert not set(flags.split()) - known
