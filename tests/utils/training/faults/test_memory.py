"""Too little memory, brought in by hooks: batches in pieces that learn the same, and a clear stop."""

from copy import deepcopy
from dataclasses import replace

import pytest
import torch
from torch import nn

from tests.utils.training.synthetic import STEADY, batch, make_run, train
from utils.training.faults.memory import out_of_memory, pieces
from utils.training.faults.setbacks import TrainingError
from utils.training.loop import Hook

EPOCH = 200  # behind the warm-up
KINDS = (
    torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 MiB"),
    RuntimeError("[enforce fail at alloc_cpu.cpp:118] err == 0. DefaultCPUAllocator: can't allocate memory: you tried"),
    RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
    MemoryError("Unable to allocate 1.2 GiB for an array"),
)


class Limit(Hook):
    """Raises an error for more than so many images at a time, in the forward or the backward pass.

    Batch norms are in evaluation mode: their batch statistics are those of a piece, by design.
    """

    def __init__(self, most=1000, error=KINDS[0], moment="forward"):
        self.most, self.error, self.moment = most, error, moment
        self.seen, self.gradients, self.items = [], {}, None

    def start(self, run):
        if self.moment == "forward":
            run.model.model[3].register_forward_pre_hook(lambda layer, args: self.check(len(args[0])))
        else:
            run.model.model[3].register_full_backward_hook(lambda layer, into, out: self.check(len(out[0])))

    def check(self, images):
        if images > self.most:
            raise self.error
        self.seen.append(images)

    def before_epoch(self, run):
        run.stop = True
        for module in run.model.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.eval()

    def before_step(self, run):
        self.gradients = {name: p.grad.clone() for name, p in run.model.named_parameters() if p.grad is not None}

    def after_batch(self, run, images, targets, paths):
        assert run.batch.labelled == len(images)

    def after_epoch(self, run):
        self.items = run.losses.tolist()


class More(Hook):
    """Joins three images without labels, and wants outputs for all images to be small."""

    def more_images(self, run):
        return batch(3, seed=9)[0]

    def extra_loss(self, run, images, raw):
        assert len(raw[0]) == len(images) >= run.batch.labelled
        return sum(maps[..., 4].square().sum() for maps in raw) * 0.01


def gradients(model, tmp_path, hook, batches, *more, **options):
    schedule = replace(STEADY, batches=len(batches), batch_size=64 // len(batches))
    run = make_run(deepcopy(model), tmp_path, schedule, **options)
    run.epoch, said = EPOCH, []
    run.say = said.append
    train(run, batches, [hook, *more])
    assert run.step == 1
    return run, said


@pytest.mark.parametrize("moment", ["forward", "backward"])
@pytest.mark.parametrize("most", [2, 4])
def test_pieces_have_the_gradients_of_the_batch(tiny_model, tmp_path, moment, most):
    batches = [batch(6), batch(5, seed=1)]  # the second one meets the gradients of the first
    whole, tight = Limit(moment=moment), Limit(most, moment=moment)
    gradients(tiny_model, tmp_path, whole, batches, More())
    run, said = gradients(tiny_model, tmp_path, tight, batches, More())
    assert max(tight.seen) <= most and max(whole.seen) == 9
    assert len(said) == {2: 3, 4: 2}[most] and run.images_at_once == {2: 1, 4: 2}[most]
    assert tight.items == pytest.approx(whole.items, rel=1e-5)
    for name, gradient in whole.gradients.items():
        assert torch.allclose(gradient, tight.gradients[name], rtol=1e-4, atol=1e-6), name


@pytest.mark.parametrize("error", KINDS, ids=lambda error: str(error)[:12])
def test_every_kind_of_such_an_error_is_known(tiny_model, tmp_path, error):
    hook = Limit(2, error)
    run, said = gradients(tiny_model, tmp_path, hook, [batch(4)])
    assert len(said) == 1 and said[0].startswith(f"epoch {EPOCH}, batch 0: out of memory with 4 images")
    assert hook.seen[-2:] == [2, 2] and run.images_at_once == 2


def test_other_errors_are_left_alone(tiny_model, tmp_path):
    assert not out_of_memory(RuntimeError("shapes cannot be multiplied"))
    with pytest.raises(RuntimeError, match="shapes"):
        gradients(tiny_model, tmp_path, Limit(2, RuntimeError("shapes cannot be multiplied")), [batch(4)])


def test_one_image_that_does_not_fit_stops_with_one_line(tiny_model, tmp_path):
    with pytest.raises(TrainingError, match=f"epoch {EPOCH}, batch 0: .* one image of 64 pixels.*--imgsz") as stop:
        gradients(tiny_model, tmp_path, Limit(0), [batch(4)])
    assert "\n" not in str(stop.value)


def test_a_step_that_finds_no_memory_stops_with_one_line(tiny_model, tmp_path):
    class Full(Hook):
        def after_step(self, run):
            raise KINDS[1]

    with pytest.raises(TrainingError, match="out of memory.*--batch-size"):
        gradients(tiny_model, tmp_path, Full(), [batch(2)])


def test_pieces_share_a_batch_out():
    images, targets = torch.arange(7.0).view(7, 1, 1, 1), torch.tensor([[0.0, 5], [2, 6], [3, 7], [4, 8]])
    found = list(pieces(images, targets, 5, 2))
    assert [piece.images.flatten().tolist() for piece in found] == [[0, 1, 5], [2, 3, 6], [4]]
    assert [piece.targets.tolist() for piece in found] == [[[0, 5]], [[0, 6], [1, 7]], [[0, 8]]]
    assert [(piece.labelled, piece.share) for piece in found] == [(2, 0.4), (2, 0.4), (1, 0.2)]
    (whole,) = pieces(images, targets, 5, 5)
    assert whole.images is images and whole.targets is targets and whole.share == 1
