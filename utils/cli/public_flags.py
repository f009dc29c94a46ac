"""Flags of the public YOLOv5's scripts that do not exist here, alone or with a value, and what to use instead."""

LOGS = "runs are logged to TensorBoard and results.csv; --logger names others"
EVOLVE = "compare runs with other values in a copy of a file in data/hyps, given by --hyp"
ONNX2TF = "use --include onnx, which onnx2tf turns into TensorFlow's formats"
FOLDERS = "export the data as a folder with a data yaml, and give that yaml with --data"
INSTEAD = {
    "--evolve": EVOLVE,
    "--evolve_population": EVOLVE,
    "--resume_evolve": EVOLVE,
    "--bucket": "copy the run's folder yourself",
    "--local_rank": "start several processes with torchrun",
    "--local-rank": "start several processes with torchrun",
    "--adam": "use --optimizer Adam",
    "--linear-lr": "leave it out: the learning rate falls linearly without --cos-lr",
    "--notest": "use --noval",
    "--cache-images": "use --cache",
    "--entity": LOGS,
    "--upload_dataset": LOGS,
    "--bbox_interval": LOGS,
    "--artifact_alias": LOGS,
    "--log-imgs": LOGS,
    "--log-artifacts": LOGS,
    "--ndjson-console": LOGS,
    "--ndjson-file": LOGS,
    "--update": "leave it out: any checkpoint is read as it is",
    "--keras": "--include onnx is what other frameworks read",
    "--optimize": "for phones use --include ncnn, or onnx with --int8",
    "--inplace": "leave it out: the outputs are the same",
    "--train": "leave it out: files are for inference",
    "--verbose": "leave it out: what is wrong is said anyway",
    "--per-tensor": "leave it out: weights have a scale for each channel",
    "--agnostic-nms": "leave it out: --nms suppresses within each class",
    "--topk-per-class": "use --nms and --max-det",
    "--topk-all": "use --nms and --max-det",
    "--pt-only": "name the files to compare with --weights",
    "--hard-fail": "give --data: the mAP of each file is in the table",
    "--include edgetpu": "use --include onnx; onnx2tf and edgetpu_compiler make a file for the Edge TPU of it",
    "--include saved_model": ONNX2TF,
    "--include pb": ONNX2TF,
    "--include tfjs": "use --include onnx, which ONNX Runtime Web runs in a browser",
    "--include coreml": "use --include onnx, which ONNX Runtime runs on Core ML",
    "--include mlmodel": "use --include torchscript, which coremltools reads",
    "--include paddle": "use --include onnx, which x2paddle reads",
    "--data clearml://": FOLDERS,
    "--data comet://": FOLDERS,
    "--resume comet://": "give --resume the weights/last.pt of the run",
    "--source screen": "record the screen to a video and give its path",
}
# What the names of files end in that only the public scripts read, in --weights.
FILES = ("_edgetpu.tflite", ".pb", ".mlmodel", ".mlpackage", "_saved_model", "_paddle_model", "_web_model")
INSTEAD_OF_FILE = "give the .pt that it was made of, or what export.py --include onnx makes of that"
