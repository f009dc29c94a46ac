"""The loop on synthetic batches: order of events, exactness, accumulation, limits."""

import math
from copy import deepcopy
from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch

from tests.utils.training.synthetic import STEADY, Batches, batch, make_run, train
from utils.sparsity.penalties import GammaPenalty
from utils.training.loop import CLIP_NORM, Hook, fit, prepare
from utils.training.run import BatchNumbers, record_evaluation


class Once(Hook):
    """Ends the run after its first epoch."""

    def before_epoch(self, run):
        run.stop = True


class Recorder(Hook):
    def __init__(self):
        self.events = []

    def start(self, run):
        self.events.append("start")

    def before_epoch(self, run):
        assert run.model.training
        self.events.append("before_epoch")

    def before_step(self, run):
        self.weights = run.model.model[0].conv.weight.detach().clone()
        self.norm = math.sqrt(sum(float(p.grad.square().sum()) for p in run.model.parameters()))
        self.events.append("before_step")

    def after_step(self, run):
        assert not torch.equal(self.weights, run.model.model[0].conv.weight)
        self.average = run.ema.updates
        self.events.append(f"after_step {run.step}")

    def after_batch(self, run, images, targets, paths):
        assert images.shape[1:] == (3, 64, 64) and images.min() >= 0 and images.max() <= 1
        self.events.append(f"after_batch {run.batch.index}")

    def after_epoch(self, run):
        self.events.append("after_epoch")

    def after_validation(self, run):
        self.events.append("after_validation")

    def finish(self, run):
        self.events.append("finish")


def test_the_loss_gain_multiplies_gradients(tiny_model, tmp_path):
    class Norm(Once):
        def before_step(self, run):
            norms.append(math.sqrt(sum(float(p.grad.square().sum()) for p in run.model.parameters())))

    norms = []
    for gain in (0.001, 0.004):  # small: clipping must not hide it
        train(make_run(deepcopy(tiny_model), tmp_path, loss_gain=gain), [batch()], [Norm()])
    assert norms[1] == pytest.approx(4 * norms[0], rel=1e-5)


def test_order_of_events(tiny_model, tmp_path):
    recorder = Recorder()
    run = make_run(tiny_model, tmp_path, replace(STEADY, epochs=202, batches=2))
    run.epoch = 200  # behind the warm-up, whose first step has a learning rate of 0
    loader = Batches([batch(), batch(seed=1)])
    saved = []
    validate = lambda run: recorder.events.append("validate")  # noqa: E731
    fit(run, loader, validate, [recorder], lambda run, hooks: saved.append(run.epoch))
    epoch = [
        "before_epoch",
        "before_step",
        "after_step {}",
        "after_batch 0",
        "before_step",
        "after_step {}",
        "after_batch 1",
        "after_epoch",
        "validate",
        "after_validation",
    ]
    steps = iter(range(1, 5))
    expected = ["start", *(event.format(next(steps)) if "{}" in event else event for event in epoch * 2), "finish"]
    assert recorder.events == expected
    assert loader.epochs == saved == [200, 201]
    assert run.step == run.ema.updates == 4 and run.total_steps == 404
    assert recorder.average == 3  # hooks change the weights before the average takes them up
    assert recorder.norm <= CLIP_NORM * 1.001


def test_a_hook_that_writes_weights_is_seen_by_the_average(tiny_model, tmp_path):
    class Zero(Hook):
        def after_step(self, run):
            run.model.model[0].bn.weight.data.zero_()

    run = make_run(tiny_model, tmp_path)
    run.ema.updates = 1
    train(run, [batch()], [Zero(), Once()])
    keep = run.ema.rate()
    assert torch.allclose(run.ema.model.model[0].bn.weight, torch.full((8,), keep))


def test_accumulated_batches_equal_one_large_batch(tiny_model, tmp_path):
    small = batch(2)
    images, rows, paths, _ = small
    second = rows.clone()
    second[:, 0] += 2
    large = (torch.cat((images, images)), torch.cat((rows, second)), paths * 2, None)
    weights = {}
    for name, batches, size in (("large", [large], 64), ("small", [small, small], 32)):
        run = make_run(deepcopy(tiny_model), tmp_path, replace(STEADY, batches=len(batches), batch_size=size))
        run.epoch = 200  # behind the warm-up
        penalty = GammaPenalty(0.5, "proximal")  # acts once a step, however many batches make it
        penalty.prepare(run.model)
        train(run, batches, [penalty, Once()])
        assert run.step == 1
        weights[name] = dict(run.model.named_parameters())
    start = dict(tiny_model.named_parameters())
    for name, value in weights["large"].items():
        assert torch.allclose(value, weights["small"][name], atol=1e-6), name
    assert any(not torch.allclose(value, start[name], atol=1e-4) for name, value in weights["large"].items())


def test_left_over_batches_make_a_step(tiny_model, tmp_path):
    run = make_run(tiny_model, tmp_path, replace(STEADY, batches=3, batch_size=32))
    run.epoch = 100
    train(run, [batch()] * 3, [Once()])
    assert run.step == 2


def test_mixed_precision_trains_float32_weights(tiny_model, tmp_path):
    plain = make_run(deepcopy(tiny_model), tmp_path)
    mixed = make_run(tiny_model, tmp_path, amp=torch.bfloat16)
    for run in (plain, mixed):
        train(run, [batch()], [Once()])
    assert all(p.dtype is torch.float32 for p in mixed.model.parameters())
    assert mixed.losses.tolist() == pytest.approx(plain.losses.tolist(), rel=0.05)


def test_images_of_many_scales_keep_to_the_stride(tiny_model, tmp_path):
    run = make_run(tiny_model, tmp_path, multi_scale=True)
    shapes = set()
    for run.batch in map(BatchNumbers, range(30)):
        shapes.add(tuple(prepare(run, batch()[0]).shape[2:]))
    assert {side % 16 for shape in shapes for side in shape} == {0}
    assert min(shapes) == (64, 64) and max(shapes) == (96, 96)  # 32 would leave batch norms one value a channel


def test_a_network_that_is_not_finite_is_never_the_best(tiny_model, tmp_path):
    run = make_run(tiny_model, tmp_path)
    score = SimpleNamespace(precision=0.0, recall=0.0, map50=0.0, map=0.0, fitness=0.0, losses=None)
    record_evaluation(run, score)
    assert run.improved
    run.ema.model.model[0].bn.running_var[0] = math.inf
    record_evaluation(run, score)
    assert not run.improved


def test_patience_ends_the_run(tiny_model, tmp_path):
    class Score:
        precision = recall = map50 = map = 0.0
        losses = None

    fitness = iter([0.1, 0.3, 0.2, 0.3, 0.1, 0.1, 0.1, 0.1])
    improved = []

    class Watch(Hook):
        def after_validation(self, run):
            improved.append(run.improved)

    def validate(run):
        score = Score()
        score.fitness = next(fitness)
        return score

    run = make_run(tiny_model, tmp_path, patience=2)
    train(run, [batch(1)], [Watch()], validate)
    assert improved == [True, True, False, True, False, False]
    assert run.best_fitness == 0.3 and run.best_epoch == 3 and run.stop
