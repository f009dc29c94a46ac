"""Detect objects in images, videos and streams and write down what was found: what detect.py does."""

from collections.abc import Iterable
from contextlib import AbstractContextManager, closing, nullcontext
from itertools import chain
from typing import Any

import numpy as np
import torch

from models.yolo import DetectionModel
from utils.boxes.geometry import import_nms, non_max_suppression, scale_boxes
from utils.cli.device import select_device
from utils.data.augment import letterbox
from utils.data.sources import Item, open_source
from utils.detection.feature_maps import feature_maps
from utils.detection.options import DetectOptions
from utils.detection.outputs import Recorder, draw, objects_line
from utils.detection.window import require_display, show
from utils.errors import InputError
from utils.files.paths import RunFolder, check_project, new_run
from utils.runtimes.interface import Runtime
from utils.runtimes.runtimes import folded, open_weights, weight_files
from utils.validation.evaluate import STAGES, Stopwatch, format_speed, split_output
from utils.validation.measure import image_shape


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
        """Take a DetectionModel, which stays as it is, or the runtime of an exported file.

        Args:
            model: DetectionModel or utils.runtimes.interface.Runtime.
            device: torch.device.
            imgsz: (height, width) that images are fitted into, multiples of the stride.
            suppression: arguments of utils.boxes.geometry.non_max_suppression.
        """
        self.model: Any = model if isinstance(model, Runtime) else folded(model, device)
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
        raise InputError(
            f"--classes {strange[0]}: {weight_files(options.weights)[0]} has the classes 0 to {model.nc - 1}"
        )
    return Detector(
        model,
        device,
        image_shape(model, options.imgsz),
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
    writes = options.save_txt or options.save_crop or options.visualize or not options.nosave
    if writes:
        check_project(options.project, options.name)
    if options.view_img:
        require_display("--view-img")
    detector = make_detector(options)
    source = open_source(options.source, options.vid_stride)
    with closing(source):
        items = chain([next(source)], source)  # nothing is written when not one picture can be decoded
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
            print(
                f"{describe(item)}: {height}x{width} {objects_line(found, detector.names)}, "
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


def describe(item: Item) -> str:
    """Return what an Item is of, in words: image 3/40 a.jpg, video 1/2 b.mp4 frame 7, 0 frame 12."""
    count = "{} {}/{} ".format("image" if item.frame is None else "video", *item.place) if item.place else ""
    return f"{count}{item.path}" + ("" if item.frame is None else f" frame {item.frame}")


def watched(detector: Detector, item: Item, recorder: Recorder, options: DetectOptions) -> AbstractContextManager[Any]:
    """Return a context that draws the feature maps of an Item when the options ask for them."""
    if not options.visualize:
        return nullcontext()
    return feature_maps(detector.model, recorder.run.path / recorder.names.of_item(item))
