"""Every flag that users of the public YOLOv5 type is known, with its other spellings."""

import pytest

from utils.cli.options import build_parser, parse
from utils.detection.options import DetectOptions
from utils.errors import InputError
from utils.export.options import ExportOptions
from utils.sparsity.options import SparsityOptions
from utils.training.options import TrainOptions
from utils.validation.options import ValidationOptions

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
    --include --nms --conf-thres --iou-thres --workspace"""
NOT_HERE = {
    TrainOptions: """--evolve --bucket --entity --upload_dataset --bbox_interval --artifact_alias --local_rank --adam
        --linear-lr""",
    DetectOptions: "--update",
    ExportOptions: "--keras --optimize --inplace --per-tensor --agnostic-nms --topk-per-class --topk-all",
}


@pytest.mark.parametrize(
    "options, flags",
    [
        (TrainOptions, TRAIN),
        (SparsityOptions, TRAIN + " --st --sr"),
        (ValidationOptions, VAL),
        (DetectOptions, DETECT),
        (ExportOptions, EXPORT),
    ],
)
def test_public_flags_are_known(options, flags):
    known = {spelling for action in build_parser(options, "")._actions for spelling in action.option_strings}
    assert not set(flags.split()) - known


@pytest.mark.parametrize(
    ("options", "flag"), [(kind, flag) for kind, flags in NOT_HERE.items() for flag in flags.split()]
)
def test_of_other_public_flags_it_is_said_what_to_use(options, flag):
    with pytest.raises(InputError, match=f"^{flag}: not supported; "):
        parse(options, [flag, "1"])


@pytest.mark.parametrize(
    ("kind", "words", "field", "value"),
    [
        (ValidationOptions, "--conf 0.25", "conf_thres", 0.25),
        (ValidationOptions, "--iou 0.65", "iou_thres", 0.65),
        (DetectOptions, "--conf 0.25", "conf_thres", 0.25),
        (DetectOptions, "--iou 0.65", "iou_thres", 0.65),
        (TrainOptions, "--img 320", "imgsz", 320),
        (TrainOptions, "--batch 8", "batch_size", 8),
        (TrainOptions, "--name x", "name", "x"),
        (SparsityOptions, "--sparse", "st", True),
    ],
)
def test_abbreviations_of_the_public_commands(kind, words, field, value):
    assert getattr(parse(kind, words.split()), field) == value
