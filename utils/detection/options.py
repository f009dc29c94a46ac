"""The flags of detect.py."""

from dataclasses import dataclass

from utils.cli.options import option
from utils.errors import InputError


@dataclass
class DetectOptions:
    """Options of detect.py."""

    weights: str | list[str] = option(
        "yolov5s.pt",
        "checkpoint (.pt), or an exported .onnx, .torchscript, .tflite or folder; several are an ensemble",
        nargs="+",
    )
    source: str = option(
        "data/images",
        "image, video, folder, pattern such as 'photos/*.jpg', .txt that lists images, number of a camera, address of "
        "an image, video or stream, or .streams that lists cameras and addresses",
    )
    data: str = option("", "not needed: the checkpoint names its classes")
    imgsz: list[int] | None = option(
        None,
        "height and width, or one number for both, in pixels; by default 640, or the size of an exported file",
        "--img",
        "--img-size",
        nargs="+",
        minimum=32,
    )
    conf_thres: float = option(0.25, "least confidence of a detection", minimum=0, below=1)
    iou_thres: float = option(0.45, "overlap above which non-maximum suppression drops a box", minimum=0, maximum=1)
    max_det: int = option(1000, "most detections an image", minimum=1)
    device: str = option("", "cpu, or the number of a GPU; empty: a GPU if there is one")
    view_img: bool = option(False, "show the pictures in a window; a key goes on, q ends")
    save_txt: bool = option(False, "write the detections as label files")
    save_conf: bool = option(False, "with --save-txt, write the confidence too")
    save_crop: bool = option(False, "write each detection as a picture of its own")
    nosave: bool = option(False, "write no pictures with boxes")
    classes: list[int] | None = option(None, "numbers of the classes to look for", nargs="+", minimum=0)
    agnostic_nms: bool = option(False, "let boxes of different classes suppress each other")
    augment: bool = option(False, "test-time augmentation: three scales, one of them flipped")
    visualize: bool = option(False, "draw the feature maps of every layer into a folder for each image")
    project: str = option("runs/detect", "folder of the runs")
    name: str = option("exp", "folder of this run")
    exist_ok: bool = option(False, "write into the run's folder even if it exists")
    line_thickness: int | None = option(
        None, "width of the boxes' lines in pixels; by default what suits the image", minimum=1
    )
    hide_labels: bool = option(False, "draw boxes without text")
    hide_conf: bool = option(False, "draw names without confidence")
    half: bool = option(False, "compute in float16")
    dnn: bool = option(False, "not supported: OpenCV's runtime for ONNX files")
    vid_stride: int = option(1, "look at every so many frames of a video", minimum=1)

    def check(self) -> None:
        """Raise InputError for what is not supported or possible and for flags without effect."""
        if self.dnn:
            raise InputError("--dnn: not supported; leave it out, the runtime follows from the weight file")
        if self.visualize and self.augment:
            raise InputError("--visualize and --augment exclude each other: the feature maps of three scales would mix")
        if self.save_conf and not self.save_txt:
            raise InputError("--save-conf: has no effect without --save-txt")
        if self.imgsz and len(self.imgsz) > 2:
            raise InputError(f"--imgsz {' '.join(map(str, self.imgsz))}: must be one number, or height and width")
