"""Detect objects in images and videos and write down what was found: what detect.py does."""

import re
from collections import Counter
from contextlib import closing
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

import cv2
import numpy as np
import torch

from utils.boxes import non_max_suppression, scale_boxes
from utils.checkpoint import load_checkpoint
from utils.data.augment import letterbox
from utils.data.sources import open_source
from utils.device import select_device
from utils.downloads import find_weights
from utils.drawing import draw_detections
from utils.errors import InputError
from utils.evaluation import STAGES, Stopwatch, format_speed, split_output
from utils.options import option
from utils.paths import RunFolder, new_run
from utils.predictions import write_labels
from utils.validation import whole_strides

CROP_MARGIN = 0.01, 10  # around a crop on each side: share of its size, and pixels
WRITABLE = (".bmp", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp")  # other images are written as .jpg


@dataclass
class DetectOptions:
    """Options of detect.py."""

    weights: str = option("yolov5s.pt", "checkpoint (.pt)")
    source: str = option(
        "data/images", "image, video, folder, pattern such as 'photos/*.jpg', or .txt that lists images"
    )
    data: str = option("", "not needed: the checkpoint names its classes")
    imgsz: list[int] = option([640], "height and width, or one number for both, in pixels", "--img", "--img-size",
                              nargs="+", minimum=32)  # fmt: skip
    conf_thres: float = option(0.25, "least confidence of a detection", minimum=0, below=1)
    iou_thres: float = option(0.45, "overlap above which non-maximum suppression drops a box", minimum=0, maximum=1)
    max_det: int = option(1000, "most detections an image", minimum=1)
    device: str = option("", "cpu, or the number of a GPU; empty: a GPU if there is one")
    view_img: bool = option(False, "not supported: show the pictures on the screen")
    save_txt: bool = option(False, "write the detections as label files")
    save_conf: bool = option(False, "with --save-txt, write the confidence too")
    save_crop: bool = option(False, "write each detection as a picture of its own")
    nosave: bool = option(False, "write no pictures with boxes")
    classes: list[int] | None = option(None, "numbers of the classes to look for", nargs="+", minimum=0)
    agnostic_nms: bool = option(False, "let boxes of different classes suppress each other")
    augment: bool = option(False, "test-time augmentation: three scales, one of them flipped")
    visualize: bool = option(False, "not supported: pictures of the feature maps")
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

    def check(self):
        """Raise InputError for what is not supported and for flags without effect."""
        for name in ("view_img", "visualize", "dnn"):
            if getattr(self, name):
                raise InputError(f"--{name.replace('_', '-')}: not supported")
        if self.save_conf and not self.save_txt:
            raise InputError("--save-conf: has no effect without --save-txt")
        if len(self.imgsz) > 2:
            raise InputError(f"--imgsz {' '.join(map(str, self.imgsz))}: must be one number, or height and width")


class Detector:
    """A model ready to look at single images."""

    def __init__(self, model, device, imgsz, *, augment=False, half=False, **suppression):
        """Take over a DetectionModel, which is fused in place.

        Args:
            model: DetectionModel.
            device: torch.device.
            imgsz: (height, width) that images are fitted into, multiples of the stride.
            suppression: arguments of utils.boxes.non_max_suppression.
        """
        self.model, self.device, self.imgsz = model.float().eval().fuse().to(device), device, imgsz
        self.stride, self.names = model.size_multiple, model.names
        self.augment, self.half, self.suppression = augment, half, suppression
        self.watches = [Stopwatch(device) for _ in STAGES]

    def fitted_shape(self, image):
        """Return the smallest (height, width) in whole strides that an image [h, w, 3] scaled to imgsz fits into."""
        scale = min(self.imgsz[0] / image.shape[0], self.imgsz[1] / image.shape[1])
        return tuple(-(-round(side * scale) // self.stride) * self.stride for side in image.shape[:2])

    @torch.no_grad()
    def __call__(self, image):
        """Return the detections [n, 6] (xyxy in pixels of the image, score, class) on an image uint8 [h, w, 3] BGR."""
        with self.watches[0]:
            shape = self.fitted_shape(image)
            fitted, scale, border = letterbox(image, shape)
            inputs = torch.from_numpy(np.ascontiguousarray(fitted[..., ::-1].transpose(2, 0, 1)))
            inputs = inputs[None].to(self.device).float() / 255
        with self.watches[1], torch.autocast(self.device.type, torch.float16, enabled=self.half):
            predictions, _ = split_output(self.model(inputs, augment=True) if self.augment else self.model(inputs))
        with self.watches[2]:
            found = non_max_suppression(predictions, **self.suppression)[0].cpu()
        return torch.cat((scale_boxes(found[:, :4], shape, image.shape[:2], ((scale, scale), border)), found[:, 4:]), 1)


class Pictures:
    """Writes pictures with boxes: each image under its own name, the frames of a video into one .mp4."""

    def __init__(self, folder, names, options):
        """folder: Path; names: class index → name; options: DetectOptions."""
        self.folder, self.names, self.options = folder, names, options
        self.video, self.video_path = None, None

    def add(self, item, detections):
        """Write one item of a source with its detections. Raises InputError when that fails."""
        options = self.options
        image = draw_detections(
            item.image.copy(),
            detections,
            self.names,
            options.line_thickness,
            labels=not options.hide_labels,
            scores=not options.hide_conf,
        )
        path = Path(item.path)
        if item.frame is None:
            file = self.folder / (path.name if path.suffix.lower() in WRITABLE else f"{path.stem}.jpg")
            written = cv2.imwrite(str(file), image)
        else:
            file = self.folder / f"{path.stem}.mp4"
            if self.video_path != item.path:
                self.close()
                size, rate = image.shape[1::-1], item.fps / options.vid_stride
                self.video, self.video_path = (
                    cv2.VideoWriter(str(file), cv2.VideoWriter_fourcc(*"mp4v"), rate, size),
                    item.path,
                )
            written = self.video.isOpened()
            self.video.write(image)
        if not written:
            raise InputError(f"{file}: cannot be written")

    def close(self):
        """Finish the last video."""
        if self.video is not None:
            self.video.release()


def write_crops(folder, item, detections, names):
    """Write every detection on an image with a little margin as folder/<class>/<item>.jpg, <item>_2.jpg, …"""
    share, pixels = CROP_MARGIN
    numbers = Counter()
    for box, index in zip(detections[:, :4], detections[:, 5].int().tolist()):
        margin = (box[2:] - box[:2]) * share + pixels
        left, top = (box[:2] - margin).clamp(min=0).int().tolist()
        right, bottom = (box[2:] + margin).ceil().int().tolist()
        place = folder / file_name(names[index])
        place.mkdir(parents=True, exist_ok=True)
        numbers[index] += 1
        number = f"_{numbers[index]}" if numbers[index] > 1 else ""
        cv2.imwrite(str(place / f"{item_name(item)}{number}.jpg"), item.image[top:bottom, left:right])


def file_name(name):
    """Return a class name as the name of a folder: a checkpoint may call a class anything, ../.. included."""
    return re.sub(r"[^\w .+-]", "_", name).strip(" .") or "_"


def item_name(item):
    """Return the name of an item of a source without suffix; frames of a video are numbered."""
    return Path(item.path).stem + ("" if item.frame is None else f"_{item.frame}")


def describe(detections, names):
    """Return in words what was found: 2 persons, 1 dog."""
    counts = sorted(Counter(detections[:, 5].int().tolist()).items())
    return ", ".join(f"{count} {names[index]}{'s' * (count > 1)}" for index, count in counts) or "nothing"


def make_detector(options):
    """Return the Detector that DetectOptions ask for. Raises InputError."""
    checkpoint = load_checkpoint(find_weights(options.weights))
    model = checkpoint.ema or checkpoint.model
    strange = [index for index in options.classes or () if index >= model.nc]
    if strange:
        raise InputError(f"--classes {strange[0]}: {checkpoint.path} has the classes 0 to {model.nc - 1}")
    imgsz = [whole_strides(size, model.size_multiple) for size in options.imgsz]
    return Detector(
        model, select_device(options.device), (imgsz[0], imgsz[-1]), augment=options.augment, half=options.half,
        conf=options.conf_thres, iou=options.iou_thres, classes=options.classes, agnostic=options.agnostic_nms,
        max_det=options.max_det, multi_label=False,
    )  # fmt: skip


def detect(options):
    """Detect as DetectOptions say: print a line for each image, write pictures, labels and crops into a new run.

    Raises InputError.
    """
    options.check()
    detector = make_detector(options)
    source = open_source(options.source, options.vid_stride)
    source = chain([next(source)], source)  # nothing is written when not one picture can be decoded
    writes = options.save_txt or options.save_crop or not options.nosave
    folder = RunFolder(new_run(options.project, options.name, options.exist_ok)) if writes else None
    if options.save_txt:
        folder.text_labels.mkdir(exist_ok=True)
    count = 0
    with closing(Pictures(folder and folder.path, detector.names, options)) as pictures:
        for count, item in enumerate(source, 1):
            before = detector.watches[1].seconds
            found = detector(item.image)
            height, width = detector.fitted_shape(item.image)
            frame = "" if item.frame is None else f" frame {item.frame}"
            print(
                f"{item.path}{frame}: {height}x{width} {describe(found, detector.names)}, "
                f"{1000 * (detector.watches[1].seconds - before):.1f}ms"
            )
            if not options.nosave:
                pictures.add(item, found)
            if options.save_txt:
                write_labels(
                    folder.text_labels / f"{item_name(item)}.txt", found, item.image.shape[:2], options.save_conf
                )
            if options.save_crop:
                write_crops(folder.crops, item, found, detector.names)
    speed = [1000 * watch.seconds / max(count, 1) for watch in detector.watches]
    print(format_speed(speed, (1, 3, *detector.imgsz)))
    if folder:
        print(f"Results saved to {folder.path}")
