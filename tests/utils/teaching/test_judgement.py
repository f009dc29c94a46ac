"""How much a teacher is heard that may be worse than its student."""

from copy import deepcopy
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from tests.utils.teaching.students import make_run, named, stirred, train_on
from utils.teaching.distillation import Distillation
from utils.teaching.judgement import Judgement
from utils.training.distributed import ProcessGroup
from utils.training.loop import Hook, fit


def one_batch(own, theirs, batches=4):
    """Return the Run of a batch whose loss of the labels is `own`, and `theirs` for the teacher's outputs."""
    seen = []

    def loss(raw, targets, divisors):
        seen.append((raw, targets, divisors))
        return None, torch.tensor([0.0, theirs, 0.0])

    loss.average = lambda values: values
    batch = SimpleNamespace(labelled=1, targets="rows", divisors=[2.0], losses=torch.tensor([own, 0.0, 0.0]))
    return SimpleNamespace(batch=batch, loss=loss, schedule=SimpleNamespace(batches=batches), seen=seen)


@pytest.mark.parametrize(
    "own, theirs, weight", [(1.0, 1.0, 1), (2.0, 1.0, 1), (0.95, 1.0, 0.5), (0.9, 1.0, 0), (0.1, 1.0, 0), (1.0, 0.0, 1)]
)
def test_a_teacher_is_heard_as_far_as_it_does_better(own, theirs, weight):
    run = one_batch(own, theirs)
    assert Judgement().weigh(run, [torch.ones(3, 1)]).item() == pytest.approx(weight, abs=1e-5)
    ((raw, targets, divisors),) = run.seen
    assert [len(maps) for maps in raw] == [1] and targets == "rows" and divisors == [2.0]


def test_the_means_are_of_all_batches_first_and_of_about_an_epoch_later():
    judgement = Judgement()
    for own in (1.0, 2.0, 3.0, 4.0, 5.0):
        judgement.weigh(one_batch(own, 10.0, batches=4), [torch.ones(1, 1)])
    assert judgement.losses.tolist() == pytest.approx([2.5 + (5 - 2.5) / 4, 10])


def test_a_loss_that_is_not_finite_does_not_count():
    judgement = Judgement()
    judgement.weigh(one_batch(0.95, 1.0), [torch.ones(1, 1)])
    for bad in (torch.nan, torch.inf):
        assert judgement.weigh(one_batch(bad, 1.0), [torch.ones(1, 1)]).item() == pytest.approx(0.5, abs=1e-5)


def test_the_state_goes_on():
    judgement, other = Judgement(), Judgement()
    for own in (1.0, 0.5):
        judgement.weigh(one_batch(own, 1.0), [torch.ones(1, 1)])
    other.load_state_dict(judgement.state_dict())
    weights = [each.weigh(one_batch(2.0, 1.0), [torch.ones(1, 1)]).item() for each in (judgement, other)]
    assert weights[0] == weights[1] and other.batches == 3


def test_validation_images_decide_where_they_are_measured():
    asked, judgement, run = [], Judgement(), one_batch(0.1, 1.0)
    run.processes = ProcessGroup()
    run.measure = lambda model: asked.append(model) or SimpleNamespace(map=0.5)
    for student, weight in ((0.2, 1), (0.5, 1), (0.525, 0.5), (0.55, 0), (0.9, 0)):
        run.evaluation = SimpleNamespace(map=student)
        judgement.validate(run, "teacher")
        assert judgement.weigh(run, [torch.ones(1, 1)]) == judgement.weight == pytest.approx(weight, abs=1e-5)
    assert asked == ["teacher"] and not run.seen
    run.measure = lambda model: SimpleNamespace(map=0.0)
    other = Judgement()
    other.validate(run, "teacher that finds nothing")
    assert other.weight == 0


class Heard(Hook):
    def __init__(self):
        self.weights = []

    def after_validation(self, run):
        self.weights.append(run.log.get("distill/heard"))


def heard_in(run, loader, *hooks):
    """Return how much the teacher was heard in each epoch."""
    heard = Heard()
    train_on(run, loader, *hooks, heard)
    return heard.weights


def test_a_student_that_overtakes_its_teacher_stops_to_listen(tiny_model):
    images = torch.randint(0, 256, (4, 3, 64, 64), dtype=torch.uint8)
    weights = heard_in(*make_run(tiny_model, images), Distillation(deepcopy(tiny_model), Path("t.pt"), 1.0, 0.1))
    assert weights[0] == pytest.approx(1, abs=0.3) and weights[-1] == 0


def test_a_teacher_of_some_classes_is_always_heard(tiny_cfg):
    images = torch.randint(0, 256, (2, 3, 64, 64), dtype=torch.uint8)
    run, loader = make_run(named(tiny_cfg, "a", "b"), images, epochs=2)
    weights = heard_in(run, loader, Distillation(stirred(named(tiny_cfg, "a", "c")), Path("t.pt"), 1.0, 0.1))
    assert weights == [None, None] and run.log["train/distill_loss"] > 0


def test_a_teacher_of_images_without_labels_is_always_heard(tiny_model):
    class More(Hook):
        def more_images(self, run):
            return images

    images = torch.randint(0, 256, (2, 3, 64, 64), dtype=torch.uint8)
    run, loader = make_run(tiny_model, images, epochs=2)
    assert heard_in(run, loader, Distillation(deepcopy(tiny_model), Path("t.pt"), 1.0, 0.1), More()) == [None, None]


@pytest.mark.parametrize("same_classes", [True, False])
def test_a_run_that_validates_asks_how_well_the_teacher_does_once(tiny_model, tiny_cfg, same_classes):
    asked, heard = [], Heard()
    teacher = deepcopy(tiny_model) if same_classes else named(tiny_cfg, *[*tiny_model.names.values(), "more"])
    images = torch.randint(0, 256, (2, 3, 64, 64), dtype=torch.uint8)
    run, loader = make_run(tiny_model, images, epochs=4)
    run.measure = lambda model: asked.append(model) or SimpleNamespace(map=0.4)
    score = SimpleNamespace(precision=0.0, recall=0.0, map50=0.0, map=0.42, fitness=0.0, losses=None)
    hook = Distillation(teacher, Path("t.pt"), 1.0, 0.1)
    hook.prepare(run.model)
    fit(run, loader, lambda run: score, [hook, heard], lambda run, hooks: None)
    assert len(asked) == same_classes
    if same_classes:
        assert heard.weights[0] > 0.8 and heard.weights[1:] == pytest.approx([0.5] * 3, abs=1e-5)
