"""Networks of other kinds: what a checkpoint is that names their classes, and what can be done with it."""

from collections.abc import Collection

SEGMENTS = "a YOLOv5 segmentation network (-seg)"
CLASSIFIES = "a YOLOv5 classification network (-cls)"
PACKAGE = "ultralytics."

# Beginning of a class's dotted name → the network that has it. The first that is found counts.
NETWORKS = {
    "models.yolo.Segment": SEGMENTS,
    "models.common.Proto": SEGMENTS,
    "models.yolo.Classif": CLASSIFIES,
    "models.common.Classify": CLASSIFIES,
    "torchvision.models.": "a classification network of torchvision",
    "ultralytics.nn.modules.head.v10Detect": "a YOLOv10 network",
    "ultralytics.nn.modules.head.RTDETRDecoder": "an RT-DETR network",
    "ultralytics.nn.modules.block.A2C2f": "a YOLO12 network",
    "ultralytics.nn.modules.block.C3k2": "a YOLO11 network",
    "ultralytics.nn.modules.block.RepNCSPELAN4": "a YOLOv9 network",
    "ultralytics.nn.modules.block.C2f": "a YOLOv8 network",
    "ultralytics.nn.modules.C2f": "a YOLOv8 network",  # of the package's first months
    "ultralytics.nn.modules.": "a YOLOv5u or YOLOv3u network",
    PACKAGE: "a checkpoint",
    "models.common.RepNCSPELAN4": "a YOLOv9 network",
    "models.common.SPPCSPC": "a YOLOv7 network",
    "models.common.RepConv": "a YOLOv7 network",
    "models.yolo.IDetect": "a YOLOv7 network",
    "models.yolo.IAuxDetect": "a YOLOv7 network",
    "yolov6.": "a YOLOv6 network",
    "yolox.": "a YOLOX network",
    "__torch__.": "a TorchScript file",
}
DETECTOR = "Here YOLOv5 and YOLOv3 detectors are trained and pruned: begin with one, such as --weights yolov5s.pt"
REMEDIES = {
    SEGMENTS: f"the scripts in segment/ of the public YOLOv5 run it. {DETECTOR}",
    CLASSIFIES: f"it finds no boxes; the scripts in classify/ of the public YOLOv5 run it. {DETECTOR}",
    "a TorchScript file": "val.py and detect.py read it when its name ends in .torchscript; "
    "prune.py and the trainings need the checkpoint that it was made from",
}


def describe(names: Collection[str]) -> str | None:
    """Return in words which network has classes or functions of these dotted names, and what to do; else None."""
    for beginning, network in NETWORKS.items():
        if any(name.startswith(beginning) for name in names):
            owner = " of the ultralytics package" if beginning.startswith(PACKAGE) else ""
            return f"is {network}{owner}; {REMEDIES.get(network, DETECTOR)}"
    return None
