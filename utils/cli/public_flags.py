"""Flags of the public YOLOv5's scripts that do not exist here, and what to use instead."""

LOGS = "runs are logged to TensorBoard and results.csv"
INSTEAD = {
    "--evolve": "compare runs with other values in a copy of a file in data/hyps, given by --hyp",
    "--bucket": "copy the run's folder yourself",
    "--local_rank": "start several processes with torchrun",
    "--local-rank": "start several processes with torchrun",
    "--adam": "use --optimizer Adam",
    "--linear-lr": "leave it out: the learning rate falls linearly without --cos-lr",
    "--entity": LOGS,
    "--upload_dataset": LOGS,
    "--bbox_interval": LOGS,
    "--artifact_alias": LOGS,
    "--update": "leave it out: any checkpoint is read as it is",
    "--keras": "--include onnx is what other frameworks read",
    "--optimize": "for phones use --include ncnn, or onnx with --int8",
    "--inplace": "leave it out: the outputs are the same",
    "--per-tensor": "leave it out: weights have a scale for each channel",
    "--agnostic-nms": "leave it out: --nms suppresses within each class",
    "--topk-per-class": "use --nms and --max-det",
    "--topk-all": "use --nms and --max-det",
}
