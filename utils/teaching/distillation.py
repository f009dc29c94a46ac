"""Knowledge distillation (Hinton et al. 2015): a trained detector, the teacher, shows a smaller one what it sees.

Two losses act besides that of the labels, on the same augmented images:

- Outputs. The teacher's predictions take the place of the labels in the loss of YOLOv5, with its gains: in every cell
  the divergence of the objectness from the teacher's; and, weighted by the teacher's objectness so that background does
  not drown it (Mehta & Ozturk 2018), the divergence of the classes and 1 − CIoU of the boxes.
- Features. At the inputs of Detect, where in the picture a network looks: attention transfer (Zagoruyko & Komodakis
  2017). The widths of the two networks do not matter, so nothing besides the student is learned.

Both are zero, and so is their gradient, where student and teacher agree.

A teacher that does not know all classes of the student teaches those that it knows, by name. What it takes for
background may be an object of another class, so it then says nothing about background: everything is weighted by its
objectness times its surest class of those that both know.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch.nn.functional import binary_cross_entropy_with_logits, cosine_similarity

from models.yolo import DetectionModel
from utils.boxes.geometry import ciou
from utils.boxes.loss import Picked
from utils.data.choice import folded
from utils.errors import InputError
from utils.teaching.judgement import Judgement
from utils.teaching.options import TAUGHT_BY
from utils.training.loop import Hook, Run
from utils.training.start import lay_out

FLOOR = 0.01  # objectness of the teacher under which its box and classes count for nothing
TOLERANCE = 0.01  # share by which anchors may differ: rounding of FP16
SHOWN = 8  # class names in a message
CERTAIN = 10.0  # logit: of one class only, a teacher has no doubt
FIRST_CLASS = 5  # outputs of an anchor before its classes: x, y, w, h, objectness


@dataclass(frozen=True)
class Shared:
    """What a teacher and a student have in common."""

    scales: list[int]  # of the teacher, for each scale of the student
    outputs: list[int]  # of an anchor of the teacher, for each taught output of the student
    classes: list[int] | None = None  # of the student, that the teacher knows; None: all
    certain: bool = False  # the teacher knows one class, which it was never taught to tell from others

    @classmethod
    def of(cls, teacher: DetectionModel, student: DetectionModel, name: str) -> "Shared":
        """Match two DetectionModels: scales by their strides, classes by their names.

        The teacher may have more of both, and fewer classes. Raises InputError, which calls the teacher `name`, when a
        scale is missing or no class is shared.
        """
        theirs, ours = teacher.model[-1], student.model[-1]
        if student.size_multiple % teacher.size_multiple:
            raise InputError(
                f"{name}: needs image sides that are multiples of {teacher.size_multiple}, "
                f"the model's are of {student.size_multiple}"
            )
        strides, scales = [round(stride) for stride in theirs.stride.tolist()], []
        for i, stride in enumerate(round(stride) for stride in ours.stride.tolist()):
            if stride not in strides:
                known = ", ".join(map(str, strides))
                raise InputError(f"{name}: predicts at strides {known}; the model also at {stride}")
            scales.append(strides.index(stride))
            have, want = (detect.anchors[k] * stride for detect, k in ((theirs, scales[-1]), (ours, i)))
            if have.shape != want.shape or not torch.allclose(have, want, rtol=TOLERANCE):
                raise InputError(
                    f"{name}: has anchors {listed(have)} px at stride {stride}, the model {listed(want)}; "
                    "a teacher must have the same"
                )
        numbers = {folded(text): number for number, text in teacher.names.items()}
        classes = [index for index, text in student.names.items() if folded(text) in numbers]
        if not classes:
            known, wanted = (some_names([*model.names.values()]) for model in (teacher, student))
            raise InputError(f"{name}: knows none of the classes {wanted}; it has {known}")
        outputs = [*range(FIRST_CLASS), *(FIRST_CLASS + numbers[folded(student.names[index])] for index in classes)]
        complete = len(classes) == student.nc
        return cls(scales, outputs, None if complete else classes, not complete and teacher.nc == 1)

    def choose(self, raw: list[torch.Tensor]) -> list[torch.Tensor]:
        """Return the teacher's raw outputs as the student has them: its scales, its taught classes in its order."""
        same = self.outputs == [*range(raw[0].shape[-1])]
        chosen = [raw[scale] if same else raw[scale][..., self.outputs] for scale in self.scales]
        if self.certain:
            for maps in chosen:
                maps[..., FIRST_CLASS:] = CERTAIN
        return chosen


def some_names(names: list[str]) -> str:
    """Return the first of some class names in words."""
    return ", ".join(names[:SHOWN]) + (", …" if len(names) > SHOWN else "")


def listed(anchors: torch.Tensor) -> str:
    """Return anchors [na, 2] in pixels as text."""
    return " ".join(f"{width:.0f}×{height:.0f}" for width, height in anchors.tolist())


def divergence(logits: torch.Tensor, taught: torch.Tensor) -> torch.Tensor:
    """Return the Kullback–Leibler divergence of Bernoulli probabilities from the teacher's, element by element.

    Both are given as logits.
    """
    truth = taught.sigmoid()
    return binary_cross_entropy_with_logits(logits, truth, reduction="none") - binary_cross_entropy_with_logits(
        taught, truth, reduction="none"
    )


def output_loss(
    loss: Any, raw: list[torch.Tensor], taught: list[torch.Tensor], classes: list[int] | None = None
) -> torch.Tensor:
    """Return the distance of raw outputs from the teacher's, a mean over the images, in the scale of the label losses.

    Args:
        loss: DetectionLoss of the student, whose gains, weights of the scales, and anchors apply.
        raw, taught: the student's and the teacher's lists of nl maps [B, na, ny, nx, 5+nc].
        classes: those of the student that the teacher's maps are of; None: all.
    """
    box = kinds = objects = sure_objects = weights = torch.zeros((), device=raw[0].device)
    for i, (ours, theirs) in enumerate(zip(raw, taught)):
        sure = theirs[..., 4].float()
        place = (sure.sigmoid() > FLOOR).nonzero(as_tuple=True)
        objectness, rows = Picked.apply(ours, *place)
        weight, goal = sure[place].sigmoid(), theirs[place].float()
        if classes is None:
            objects = objects + divergence(objectness, sure).mean() * loss.balance[i]
        else:
            rows = torch.cat((rows[:, :FIRST_CLASS], rows[:, FIRST_CLASS:][:, classes]), 1)
            weight = weight * goal[:, FIRST_CLASS:].sigmoid().amax(1)
            sure_objects = sure_objects + (weight * divergence(objectness[place], sure[place])).sum() * loss.balance[i]
        box = box + (weight * (1 - ciou(loss.boxes(i, rows, place[1]), loss.boxes(i, goal, place[1])))).sum()
        if loss.detect.nc > 1:
            kinds = kinds + (weight * divergence(rows[:, FIRST_CLASS:], goal[:, FIRST_CLASS:]).mean(1)).sum()
        weights = weights + weight.sum()
    # A weighted mean for each scale, as the labels' loss has it, but over all scales: a scale may hold nothing at all.
    share = len(raw) / loss.average(weights).clamp(min=1)
    parts = box * share, objects + sure_objects * share, kinds * share
    return sum(gain * part for gain, part in zip(loss.gains, parts))


def attention_loss(features: list[torch.Tensor], taught: list[torch.Tensor]) -> torch.Tensor:
    """Return 1 − the cosine between the attention maps of two networks, a mean over images and scales: 0 to 1.

    An attention map is the sum of the squares over the channels.

    features, taught: lists of maps [B, C, ny, nx]; only C may differ.
    """
    pairs = ([maps.float().square().mean(1).flatten(1) for maps in pair] for pair in zip(features, taught))
    return torch.stack([1 - cosine_similarity(ours, theirs).mean() for ours, theirs in pairs]).mean()


class DetectInputs:
    """Keeps the maps that go into the Detect of a DetectionModel, each time it runs."""

    def __init__(self, model: DetectionModel) -> None:
        self.handle = model.model[-1].register_forward_pre_hook(self.keep)

    def keep(self, detect: Any, args: Any) -> None:
        """Take the list of maps [B, C, ny, nx]."""
        self.maps: Any = list(args[0])

    def take(self) -> Any:
        """Return the maps of the last run, once."""
        maps, self.maps = self.maps, None
        return maps


class Distillation(Hook):
    """Adds the two losses to that of the labels; see this module. The teacher stays as it is, and in no checkpoint."""

    def __init__(
        self,
        teacher: DetectionModel,
        file: Path,
        output_gain: float,
        feature_gain: float,
        say: Callable[[str], object] = print,
        optional: bool = False,
    ) -> None:
        """Let a teacher take the place of the labels, of the features, or of both.

        Args:
            teacher: DetectionModel; it is fused in place.
            file: that it was read from.
            output_gain, feature_gain: of the two losses; 0 leaves one out.
            say: gets a line when the teacher knows some of the classes only, and when it cannot teach at all.
            optional: whether a teacher that cannot teach this network is left out instead of raising.
        """
        self.say, self.optional = say, optional
        self.teacher, self.file = teacher.eval().requires_grad_(False).fuse(), file
        self.name = f"--teacher {file}"
        self.shared: Shared | None = None
        self.gains = output_gain, feature_gain
        self.means = torch.zeros(2)  # of the two losses in this epoch
        self.judgement = Judgement()

    def prepare(self, model: DetectionModel) -> None:
        """Find what the two networks have in common, and note in the model who teaches it.

        Raises InputError when the teacher cannot teach this one, unless it is optional.
        """
        self.shared = self.common(model)
        if self.shared is None:
            return
        model.yaml = {**model.yaml, TAUGHT_BY: str(self.file.resolve())}
        if self.shared.classes is not None and self.gains[0]:
            taught = [model.names[index] for index in self.shared.classes]
            others = [name for index, name in model.names.items() if index not in self.shared.classes]
            self.say(f"{self.name}: teaches {some_names(taught)}; it does not know {some_names(others)}")

    def common(self, model: DetectionModel) -> Shared | None:
        """Return what teacher and model share; None when that is nothing and the teacher is optional."""
        try:
            return Shared.of(self.teacher, model, self.name)
        except InputError as error:
            if not self.optional:
                raise
            self.say(f"no teacher: {error}")
            return None

    def start(self, run: Run) -> None:
        """Move the teacher to where the student is, and listen in on both."""
        self.features: list[DetectInputs] = []
        self.shared = self.shared and self.common(run.model)  # whose anchors may have been changed
        if self.shared is None:
            return
        self.teacher = lay_out(self.teacher, run.device)
        self.teacher.model[-1].train()  # raw outputs, without decoding
        if self.gains[1]:
            self.features = [DetectInputs(model) for model in (run.model, self.teacher)]

    def before_epoch(self, run: Run) -> None:
        """Begin the means of the epoch."""
        self.means = self.means.to(run.device) if run.first_batch else torch.zeros(2, device=run.device)

    def extra_loss(self, run: Run, images: torch.Tensor, raw: list[torch.Tensor]) -> torch.Tensor | None:
        """Return the sum of both losses over the images."""
        if self.shared is None:
            return None
        with torch.no_grad(), run.autocast():
            taught = self.shared.choose(self.teacher(images))
        parts = [raw[0].new_zeros((), dtype=torch.float32)] * 2
        if self.gains[0]:
            parts[0] = self.gains[0] * output_loss(run.loss, raw, taught, self.shared.classes)
        if self.features:
            ours, theirs = (inputs.take() for inputs in self.features)
            parts[1] = self.gains[1] * attention_loss(ours, [theirs[scale] for scale in self.shared.scales])
        self.means += (torch.stack(parts).detach() - self.means) / (run.batch.index + 1)
        total: Any = sum(parts) * len(images)
        return total * self.judgement.weigh(run, taught) if self.comparable(run, images) else total

    def comparable(self, run: Run, images: torch.Tensor) -> bool:
        """Tell whether labels say which of the two does better: on all images, and for all classes."""
        return self.shared is not None and self.shared.classes is None and len(images) == run.batch.labelled

    def after_epoch(self, run: Run) -> None:
        """Log the losses, and how much the teacher is heard."""
        if self.shared is None:
            return
        output, feature = self.means.tolist()
        run.log |= {"train/distill_loss": output + feature, "distill/output": output, "distill/feature": feature}
        weight = self.judgement.weight
        if weight is not None:
            run.log["distill/heard"] = weight

    def after_validation(self, run: Run) -> None:
        """Judge by the validation images, where they are measured after each epoch."""
        shared = self.shared
        if shared is None or shared.classes is not None or self.teacher.nc != run.model.nc or run.measure is None:
            return
        if run.processes.broadcast(run.evaluation is not None and not run.last_epoch):
            self.judgement.validate(run, self.teacher)

    def state_dict(self) -> dict[str, Any]:
        """Return the means of the epoch so far, and how the teacher was judged."""
        return {"means": self.means, "judgement": self.judgement.state_dict()} if self.shared else {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take over the state, of which runs of before have not all."""
        self.means = state.get("means", torch.zeros(2)).clone()
        if "judgement" in state:
            self.judgement.load_state_dict(state["judgement"])

    def finish(self, run: Run) -> None:
        """Stop listening."""
        for inputs in self.features:
            inputs.handle.remove()
