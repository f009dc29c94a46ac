"""The flags of train.py."""

from dataclasses import dataclass
from typing import Any, ClassVar

from models.activations import parse_activation
from utils.cli.options import check, option
from utils.errors import InputError
from utils.training.resume import NEWEST, resolve

OPTIMIZERS = ("SGD", "Adam", "AdamW", "auto")
LOGGERS = ("tensorboard", "mlflow", "wandb", "clearml", "comet")
LARGEST_SEED = 2**32 - 1
COMPARED = "model yaml: only compared, unless the weights hold tensors alone, or there are none"  # --cfg, elsewhere


@dataclass
class TrainOptions:
    """Options of train.py; other training scripts add their own."""

    cfg_decides: ClassVar[bool] = True  # over the network of a checkpoint, which then only lends what fits

    weights: str = option("yolov5s.pt", "checkpoint to start from; '' to start from --cfg")
    cfg: str = option("", "model yaml to build; a checkpoint then gives it the tensors that fit")
    data: str = option("data/coco128.yaml", "data yaml, by path or by name in data/")
    skip_bad_labels: bool = option(False, "leave out label rows that cannot be read, instead of stopping")
    accept_conf: bool = option(
        False, "accept label rows that end with a confidence, as --save-txt --save-conf writes them; it is not used"
    )
    check_photos: bool = option(False, "decode every photo while the data set is scanned, not only its head and end")
    hyp: str = option("data/hyps/hyp.scratch-low.yaml", "hyper-parameter yaml, by path or by name in data/hyps/")
    epochs: int = option(100, "passes over the training images", minimum=1)
    batch_size: int = option(16, "images in a batch, all processes together; -1: what fits", "--batch", minimum=-1)
    imgsz: int = option(640, "longest side of the images in pixels", "--img", "--img-size", minimum=32)
    rect: bool = option(False, "train on batches of one shape each instead of mosaics")
    resume: str = option("", "continue a run: its last.pt, or nothing for the newest", nargs="?", const=NEWEST)
    nosave: bool = option(False, "write checkpoints only after the last epoch")
    noval: bool = option(False, "validate only after the last epoch")
    noautoanchor: bool = option(False, "keep the anchors even if they do not fit the labels")
    noplots: bool = option(False, "draw no pictures")
    cache: str | None = option(
        None, "keep images in memory or beside their files", nargs="?", const="ram", choices=("ram", "disk")
    )
    image_weights: bool = option(False, "draw images with rare and badly detected classes more often")
    device: str = option("", "cpu, or the number of a GPU; empty: a GPU if there is one")
    multi_scale: bool = option(False, "vary the image size by a half up and down")
    activation: str = option("", "give the network another activation, such as nn.ReLU: quicker, most of all in INT8")
    single_cls: bool = option(False, "treat all classes as one")
    optimizer: str = option(
        "SGD", "optimizer; auto: SGD, or in a run of few steps AdamW with more and smaller ones", choices=OPTIMIZERS
    )
    nominal_batch: int | None = option(
        None,
        "images that an optimizer step gathers from smaller batches; 64 if neither this nor --optimizer auto is given",
        minimum=1,
    )
    sync_bn: bool = option(False, "batch norm statistics over all GPUs")
    workers: int = option(8, "processes that load images, for each training process", minimum=0)
    logger: list[str] = option(["tensorboard"], "where numbers go besides results.csv", nargs="+", choices=LOGGERS)
    project: str = option("runs/train", "folder of the runs")
    name: str = option("exp", "folder of this run")
    exist_ok: bool = option(False, "write into the run's folder even if it exists")
    quad: bool = option(False, "join four images, or enlarge one, to batches a quarter as large at twice --imgsz")
    cos_lr: bool = option(False, "let the learning rate fall as a cosine instead of a line")
    label_smoothing: float = option(0.0, "how far class targets stay from 0 and 1", minimum=0, below=1)
    patience: int = option(100, "epochs without improvement after which training stops; 0: never", minimum=0)
    freeze: list[int] = option([0], "layers to keep as they are: 10 = first ten, 0 3 5 = those", nargs="+", minimum=0)
    save_period: int = option(-1, "keep a checkpoint every so many epochs; -1: none", minimum=-1)
    seed: int = option(0, "start of all random numbers", minimum=0, maximum=LARGEST_SEED)
    amp: str = option(
        "auto",
        "mixed precision; auto: on GPUs, and on a CPU that is measured to be faster with it",
        choices=("auto", "on", "off"),
    )

    @property
    def classic(self) -> bool:
        """Whether what is left to "auto" is as in the classic way of training."""
        return False

    @property
    def goes_on(self) -> bool:
        """Whether a detector that knows the classes of the data is taken further as it is, rather than trained anew."""
        return False

    @classmethod
    def from_given(cls, **given: Any) -> "TrainOptions":
        """Return the options that the given ones mean: with `resume`, those of the interrupted run."""
        return resolve(cls(**given))

    def check(self) -> None:
        """Raise InputError or SpecError for values that are wrong alone or exclude each other."""
        check(self)
        if self.batch_size == 0:
            raise InputError("--batch-size 0: must be at least 1, or -1 for what fits")
        if self.rect and self.image_weights:
            raise InputError("--rect and --image-weights exclude each other: rectangular batches are fixed")
        if self.activation:
            parse_activation(self.activation, "--activation")
