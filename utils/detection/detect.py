"""Detect objects in images, videos and streams and write down what was found: what detect.py does."""

from collections.abc import Iterable
from contextlib import AbstractContextManager, closing, nullcontext
from dataclasses import dataclass
from itertools import chain
from typing import Any

import numpy as np
import torch

from models.yolo import DetectionModel
from utils.boxes.geometry import import_nms, non_max_suppression, scale_boxes
from utils.cli.device import select_device
from utils.cli.options import option
from utils.data.augment import letterbox
from utils.data.sources import Item, open_source
from utils.detection.feature_maps import feature_maps
from utils.detection.outputs import Recorder, draw, objects_line
from utils.detection.window import require_display, show
from utils.errors import InputError
from utils.files.paths import RunFolder, new_run
from utils.runtimes.interface import Runtime
from utils.runtimes.runtimes import open_weights
from utils.validation.evaluate import STAGES, Stopwatch, format_speed, split_output
from utils.validation.measure import whole_strides


@dataclass
class DetectOptions:
    """Options of detect.py."""

    weights: str = option("yolov5s.pt", "checkpoint (.pt), or an exported .onnx, .torchscript or folder")
    source: str = option(
        "data/images",
        "image, video, folder, pattern such as 'photos/*.jpg', .txt that lists images, number of a camera, address of "
        "an image, video or stream, or .streams that lists cameras and addresses",
    )
    data: str = option("", "not needed: the checkpoint names its classes")
    imgsz: list[int] = option(
        [640], "height and width, or one number for both, in pixels", "--img", "--img-size", nargs="+", minimum=32
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
        if self.view_img:
            require_display("--view-img")
        if self.save_conf and not self.save_txt:
            raise InputError("--save-conf: has no effect without --save-txt")
        if len(self.imgsz) > 2:
            raise InputError(f"--imgsz {' '.join(map(str, self.imgsz))}: must be one number, or height and width")


class Detector:
    """A model ready to look at single images."""

    def __init__(
        self,
        model: DetectionModel | Runtime,
        device: torch.device,
        imgsz: tuple[int, int],
        *,
        augment: bool = False,
        half: bool = False,
        **suppression: Any,
    ) -> None:
        """Take over a DetectionModel, which is fused in place, or the runtime of an exported file.

        Args:
            model: DetectionModel or utils.runtimes.interface.Runtime.
            device: torch.device.
            imgsz: (height, width) that images are fitted into, multiples of the stride.
            suppression: arguments of utils.boxes.geometry.non_max_suppression.
        """
        self.model: Any = model if isinstance(model, Runtime) else model.float().eval().fuse().to(device)
        self.device, self.fixed_shape = device, getattr(model, "shape", None)
        self.imgsz = self.fixed_shape or imgsz
        self.stride, self.names = model.size_multiple, model.names
        self.augment, self.half, self.suppression = augment, half, suppression
        import_nms()  # not on the clock
        self.watches = [Stopwatch(device) for _ in STAGES]

    def fitted_shape(self, image: np.ndarray) -> tuple[int, int]:
        """Return the smallest (height, width) in whole strides that an image [h, w, 3] scaled to imgsz fits into.

        For files of fixed size it is always their size.
        """
        if self.fixed_shape:
            return self.fixed_shape
        scale = min(self.imgsz[0] / image.shape[0], self.imgsz[1] / image.shape[1])
        return tuple(-(-max(round(side * scale), 1) // self.stride) * self.stride for side in image.shape[:2])

    @torch.no_grad()
    def __call__(self, image: np.ndarray) -> torch.Tensor:
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


def make_detector(options: DetectOptions) -> Detector:
    """Return the Detector that DetectOptions ask for. Raises InputError."""
    device = select_device(options.device)
    model = open_weights(options, device)
    strange = [index for index in options.classes or () if index >= model.nc]
    if strange:
        raise InputError(f"--classes {strange[0]}: {options.weights} has the classes 0 to {model.nc - 1}")
    imgsz = [whole_strides(size, model.size_multiple) for size in options.imgsz]
    return Detector(
        model,
        device,
        (imgsz[0], imgsz[-1]),
        augment=options.augment,
        half=options.half,
        conf=options.conf_thres,
        iou=options.iou_thres,
        classes=options.classes,
        agnostic=options.agnostic_nms,
        max_det=options.max_det,
        multi_label=False,
    )


def detect(options: DetectOptions) -> None:
    """Detect as DetectOptions say: print a line for each image, write pictures, labels and crops into a new run.

    Cameras and streams go on until the user interrupts. Raises InputError.
    """
    options.check()
    detector = make_detector(options)
    source = open_source(options.source, options.vid_stride)
    with closing(source):
        items = chain([next(source)], source)  # nothing is written when not one picture can be decoded
        writes = options.save_txt or options.save_crop or options.visualize or not options.nosave
        folder = RunFolder(new_run(options.project, options.name, options.exist_ok)) if writes else None
        with closing(Recorder(folder, detector.names, options)) as recorder:
            count = detect_all(detector, items, recorder, options)
    speed = [1000 * watch.seconds / max(count, 1) for watch in detector.watches]
    print(format_speed(speed, (1, 3, *detector.imgsz)))
    if folder:
        print(f"Results saved to {folder.path}")


def detect_all(detector: Detector, items: Iterable[Item], recorder: Recorder, options: DetectOptions) -> int:
    """Detect on every Item, tell, show and record it; return how many there were."""
    count, live = 0, False
    try:
        for item in items:
            count, live = count + 1, item.live
            before = detector.watches[1].seconds
            with watched(detector, item, recorder, options):
                found = detector(item.image)
            height, width = detector.fitted_shape(item.image)
            frame = "" if item.frame is None else f" frame {item.frame}"
            print(
                f"{item.path}{frame}: {height}x{width} {objects_line(found, detector.names)}, "
                f"{1000 * (detector.watches[1].seconds - before):.1f}ms"
            )
            drawn = draw(item, found, detector.names, options) if options.view_img or not options.nosave else None
            recorder.add(item, found, drawn)
            if options.view_img and drawn is not None and not show(item.path, drawn, moving=item.frame is not None):
                break
    except KeyboardInterrupt:
        if not live:
            raise
        print()  # behind the ^C; this is how a stream ends
    return count


def watched(detector: Detector, item: Item, recorder: Recorder, options: DetectOptions) -> AbstractContextManager[Any]:
    """Return a context that draws the feature maps of an Item when the options ask for them."""
    if not options.visualize:
        return nullcontext()
    return feature_maps(detector.model, recorder.run.path / recorder.names.of_item(item))
