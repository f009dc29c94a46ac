"""Numbers that are not finite, brought in by hooks and batches: steps left out, epochs begun anew, a clear stop."""

import math
from copy import deepcopy
from dataclasses import replace

import pytest
import torch

from tests.utils.training.synthetic import STEADY, batch, make_run, train
from utils.training.faults.setbacks import SETBACKS, SKIPPED, SKIPS, TrainingError
from utils.training.loop import Hook
from utils.training.options import TrainOptions
from utils.training.run import SLOWER, all_finite
from utils.training.train import train as train_by_options

EPOCH = 200  # behind the warm-up
SCHEDULE = replace(STEADY, epochs=EPOCH + 2, batches=6)
BATCHES = [batch(seed=seed) for seed in range(6)]
KINDS = ("image", "loss", "extra", "gradient", "weight", "gamma")


class Poison(Hook):
    """Brings one NaN into each of the given moments (epoch, batch); a moment comes again when its epoch does."""

    def __init__(self, kind, moments, once=False):
        self.kind, self.moments, self.once = kind, set(moments), once
        self.rates, self.kept = [], {"steps": torch.zeros(())}

    def due(self, run):
        now = run.epoch - EPOCH, run.batch.index
        found = now in self.moments
        if found and self.once:
            self.moments.remove(now)
        return found

    def start(self, run):
        first = run.model.model[0]
        if self.kind == "gradient":
            first.conv.weight.register_hook(lambda grad: grad * math.inf if self.due(run) else None)
        if self.kind == "image":
            first.register_forward_pre_hook(
                lambda layer, args: (args[0] * torch.nan,) if layer.training and self.due(run) else None
            )

    def extra_loss(self, run, images, raw):
        if self.kind not in ("loss", "extra") or not self.due(run):
            return None
        return raw[0].sum() * torch.nan if self.kind == "loss" else torch.tensor(math.inf)  # without a gradient

    def after_step(self, run):
        self.kept["steps"] += 1
        if self.kind in ("weight", "gamma") and self.due(run):
            block = run.model.model[1]
            (block.conv if self.kind == "weight" else block.bn).weight.data.view(-1)[0] = math.nan

    def after_batch(self, run, images, targets, paths):
        self.rates.append((run.epoch - EPOCH, run.batch.index, run.lr))

    def state_dict(self):
        return self.kept

    def load_state_dict(self, state):
        self.kept = state


def poisoned(model, tmp_path, hook, **options):
    """Return a run of two epochs of six steps under a Poison, done, and what it said."""
    run = make_run(model, tmp_path, SCHEDULE, **options)
    run.epoch, said, logs = EPOCH, [], []
    run.say = said.append

    class Log(Hook):
        def after_validation(self, run):
            logs.append(dict(run.log))

    train(run, BATCHES, [hook, Log()])
    assert all_finite(run.model) and all_finite(run.ema.model)
    return run, said, logs


@pytest.mark.parametrize(
    ("kind", "precision"),
    [*((kind, None) for kind in KINDS[:4]), *((kind, torch.float16) for kind in KINDS[2:4]), ("loss", torch.bfloat16)],
)
def test_a_step_that_is_not_finite_is_left_out_and_counted(tiny_model, tmp_path, kind, precision):
    clean, _, _ = poisoned(deepcopy(tiny_model), tmp_path, Poison(kind, ()), amp=precision)
    hook = Poison(kind, [(0, 2), (0, 3)])
    run, said, logs = poisoned(tiny_model, tmp_path, hook, amp=precision)
    assert run.step == clean.step - 2 and run.setbacks == run.skipped == 0
    if kind == "gradient" and precision is torch.float16:
        assert not said and SKIPPED not in logs[0]  # the loss scale was too large, as far as anyone can tell
    else:
        assert len(said) == 1 and said[0].startswith(f"epoch {EPOCH}: 2 optimizer steps left out")
        assert [log.get(SKIPPED) for log in logs] == [2, None]
    assert all(math.isfinite(value) for log in logs for value in log.values())
    if precision is not torch.float16:  # its scale has changed
        assert {rate for *_, rate in hook.rates} == {rate for *_, rate in hook.rates[:1]}


@pytest.mark.parametrize("kind", KINDS)
def test_what_skipping_does_not_help_sets_the_epoch_back_at_a_lower_rate(tiny_model, tmp_path, kind):
    skips = kind in KINDS[:4]
    moments = [(1, index) for index in range(1, SKIPS + 2)] if skips else [(1, 2)]
    hook = Poison(kind, moments, once=True)
    run, said, _ = poisoned(tiny_model, tmp_path, hook)
    assert run.setbacks == 1 and run.step == hook.kept["steps"] == 12  # the steps before it were undone
    assert len(said) == 1 and "(1 of at most 3 times)" in said[0]
    rates = {epoch: sorted({rate for e, _, rate in hook.rates if e == epoch}) for epoch in (0, 1)}
    assert rates[0] == [pytest.approx(0.01)] and rates[1] == [pytest.approx(0.01 * SLOWER), pytest.approx(0.01)]


def test_a_set_back_run_equals_one_that_was_slower_from_the_epoch_on(tiny_model, tmp_path):
    """Nothing is left of what was undone: weights, momentum, average, statistics."""

    class Slow(Hook):
        def before_epoch(self, run):
            run.setbacks = run.epoch - EPOCH

    run, _, _ = poisoned(deepcopy(tiny_model), tmp_path, Poison("gamma", [(1, 3)], once=True))
    slow, _, _ = poisoned(tiny_model, tmp_path, Slow())
    for one, two in ((run.model, slow.model), (run.ema.model, slow.ema.model)):
        for (name, value), other in zip(one.state_dict().items(), two.state_dict().values(), strict=True):
            assert torch.equal(value, other), name
    one, two = (each.optimizer.state_dict()["state"] for each in (run, slow))
    assert all(torch.equal(one[i]["momentum_buffer"], two[i]["momentum_buffer"]) for i in one)


@pytest.mark.parametrize(("kind", "precision"), [*((kind, None) for kind in KINDS), ("gradient", torch.float16)])
def test_numbers_that_stay_not_finite_stop_the_run(tiny_model, tmp_path, kind, precision):
    run = make_run(tiny_model, tmp_path, replace(SCHEDULE, batches=30), amp=precision)
    run.epoch, saved = EPOCH, []
    run.say = saved.append
    hook = Poison(kind, [(1, index) for index in range(30)])
    with pytest.raises(TrainingError, match=rf"epoch {EPOCH + 1}, batch \d+: .*lr0") as stop:
        train(run, BATCHES * 5, [hook])
    assert "\n" not in str(stop.value) and len(str(stop.value)) < 300
    assert run.setbacks == SETBACKS and len(saved) == SETBACKS


def test_a_network_that_is_not_finite_from_the_start_stops(tiny_model, tmp_path):
    tiny_model.model[-1].m[0].bias.data[0] = math.nan
    run = make_run(tiny_model, tmp_path)
    with pytest.raises(TrainingError, match="epoch 0, batch 0: a weight is not finite"):
        train(run, [batch()])
    assert run.step == 0


def test_a_run_with_such_faults_resumes_exactly(tmp_path, drawn_data, tiny_yaml):
    class Faulty(Hook):
        """Spoils a gamma in the first epoch, once, and every loss of the second."""

        def __init__(self, cut=False):
            self.cut, self.done = cut, False

        def extra_loss(self, run, images, raw):
            return raw[0].sum() * torch.nan if run.epoch == 1 else None

        def after_step(self, run):
            if run.epoch == 0 and not self.done:
                self.done = True
                run.model.model[0].bn.weight.data[0] = math.inf
            if self.cut and run.epoch == 2:
                raise KeyboardInterrupt

    values = {"cfg": str(tiny_yaml), "data": str(drawn_data), "project": str(tmp_path), "noplots": True, "workers": 0}
    options = TrainOptions(weights="", imgsz=64, batch_size=4, epochs=3, device="cpu", cache="ram", **values)
    whole = train_by_options(replace(options, name="whole"), hooks=[Faulty()], quiet=True)
    assert (whole.setbacks, whole.step, whole.skipped) == (1, 2 + 0 + 1, 0)
    with pytest.raises(KeyboardInterrupt):
        train_by_options(replace(options, name="cut"), hooks=[Faulty(cut=True)], quiet=True)
    last = tmp_path / "cut/weights/last.pt"
    resumed = train_by_options(TrainOptions(resume=str(last)), hooks=[Faulty()], quiet=True)
    assert (resumed.setbacks, resumed.step) == (whole.setbacks, whole.step)
    for one, two in ((whole.model, resumed.model), (whole.ema.model, resumed.ema.model)):
        assert all(torch.equal(a, b) for a, b in zip(one.state_dict().values(), two.state_dict().values(), strict=True))
    assert resumed.folder.results_csv.read_bytes() == whole.folder.results_csv.read_bytes()
