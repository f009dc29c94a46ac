"""Sparse training: closed forms of each penalty, exact zeros, what is left alone."""

from copy import deepcopy
from types import SimpleNamespace

import pytest
import torch
from torch import nn

from models.common import Bottleneck, Conv
from utils.errors import InputError
from utils.files.paths import RunFolder
from utils.pruning.channels.groups import trace_channels
from utils.pruning.choice.costs import NetworkCost
from utils.pruning.choice.milliseconds import Rates
from utils.pruning.choice.selection import Limits, select_by_cost
from utils.pruning.scores.parameters import gamma_scores
from utils.sparsity.fading import FadeOut, Goal
from utils.sparsity.penalties import SCHEDULES, GammaPenalty, soft_threshold
from utils.sparsity.preview import PreviewHook
from utils.sparsity.train_sparsity import SparsityOptions, parse_strength, preamble, sparsity_hooks, verdict
from utils.training.distributed import ProcessGroup
from utils.training.loop import RunSettings
from utils.training.optim import ModelEMA, Schedule, build_optimizer

LR, MOMENTUM = 0.01, 0.9
ANY = Limits(1, 1.0, 1)


def network():
    return nn.Sequential(Conv(3, 16), Bottleneck(16, 16), Conv(16, 16), nn.Conv2d(16, 2, 1))


def make_run(model, name="SGD", total_steps=10):
    return SimpleNamespace(
        model=model,
        optimizer=build_optimizer(model, name, LR, MOMENTUM, 0.0),
        lr=LR,
        ema=ModelEMA(model),
        step=0,
        total_steps=total_steps,
        log={},
        processes=ProcessGroup(),
        evaluation=None,
        epoch=0,
        written=set(),
        settings=RunSettings(64),
    )


def step(run, hook, gradient=0.0):
    """One optimizer step with the same gradient everywhere."""
    for parameter in run.model.parameters():
        parameter.grad = torch.full_like(parameter, gradient)
    hook.before_step(run)
    run.optimizer.step()
    run.step += 1
    hook.after_step(run)
    run.ema.update(run.model)


def start(hook, run):
    hook.prepare(run.model)
    hook.start(run)
    return hook


@pytest.mark.parametrize("name", ["SGD", "Adam", "AdamW"])
@pytest.mark.parametrize("penalty", ["subgradient", "proximal", "group"])
def test_a_gamma_under_the_penalty_alone_reaches_zero_in_the_computed_number_of_steps(name, penalty):
    model = network()
    run = make_run(model, name)
    hook = start(GammaPenalty(sr=0.05, penalty=penalty), run)
    # Each step takes lr · sr / (1 − momentum) = 0.01 · 0.05 / 0.1 = 0.005 from gamma: 200 steps from 1.
    for _ in range(199):
        step(run, hook)
    free = model[2].bn.weight
    assert free.detach() == pytest.approx(torch.full((16,), 0.005).numpy(), abs=1e-4)
    step(run, hook)
    assert free.abs().max() < 1e-4
    if penalty != "subgradient":
        step(run, hook)
        assert torch.equal(free, torch.zeros(16))  # and stays there


@pytest.mark.parametrize(
    "schedule, values",
    [("constant", [1, 1, 1]), ("linear", [1, 0.55, 0.1]), ("cosine", [1, 0.55, 0.1]), ("warmup", [0, 1, 1])],
)
def test_schedules_by_hand(schedule, values):
    assert [SCHEDULES[schedule](progress) for progress in (0, 0.5, 1)] == pytest.approx(values)


def test_a_schedule_scales_the_pull_and_beta_has_its_own_strength():
    model = network()
    run = make_run(model, total_steps=10)
    hook = start(GammaPenalty(0.05, "proximal", "warmup", sr_beta=0.1), run)
    with torch.no_grad():
        model[2].bn.bias.fill_(1.0)
    step(run, hook)  # one tenth of the run, so half of the strength: pulls of 0.0025 and 0.005
    assert model[2].bn.weight.detach() == pytest.approx(torch.full((16,), 0.9975).numpy(), abs=1e-6)
    assert model[2].bn.bias.detach() == pytest.approx(torch.full((16,), 0.995).numpy(), abs=1e-6)


def test_soft_threshold_by_hand():
    values = torch.tensor([-3.0, -0.5, 0.0, 0.5, 3.0])
    assert soft_threshold(values, 1.0).tolist() == [-2.0, 0.0, 0.0, 0.0, 2.0]


def test_the_group_penalty_kills_tied_channels_together():
    model = network()
    with torch.no_grad():
        model[0].bn.weight.fill_(0.02)
        model[1].cv2.bn.weight.fill_(0.05)
    run = make_run(model)
    hook = start(GammaPenalty(sr=0.05, penalty="group"), run)
    for _ in range(20):
        step(run, hook)
        # Tied vectors shrink in proportion: the ratio stays, and both reach zero in the same step.
        assert torch.equal(model[0].bn.weight == 0, model[1].cv2.bn.weight == 0)
    assert (model[0].bn.weight == 0).all()


def test_no_strength_changes_nothing():
    torch.manual_seed(0)
    model = network()
    run = make_run(model)
    hook = start(GammaPenalty(sr=0.0), run)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    step(run, hook)
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())


def test_only_gammas_of_free_channels_are_pulled():
    model = nn.Sequential(Conv(3, 16), nn.Sequential(Conv(16, 2)))  # the last outputs are the predictions
    run = make_run(model)
    hook = start(GammaPenalty(sr=1.0), run)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    step(run, hook)
    changed = {name for name, value in model.state_dict().items() if not torch.equal(before[name], value)}
    assert changed == {"0.bn.weight"}


def test_fading_reaches_exact_zeros_in_the_planned_channels_and_leaves_the_others():
    model = network()
    run = make_run(model, total_steps=20)
    with torch.no_grad():  # the gradient is the same everywhere, so a small gamma means a small Taylor estimate
        model[2].bn.weight[:8] = 1e-3
        model[1].cv1.bn.weight[:4] = 1e-3
    hook = start(FadeOut(Goal("channels", 12 / 56), ANY, choose_until=0.2, fade_until=0.6), run)
    zeros = []
    for _ in range(20):
        step(run, hook, gradient=1e-4)
        zeros.append(int((model[2].bn.weight == 0).sum()))
    assert zeros == [0] * 11 + [8] * 9  # step 12 of 20 is at fade_until
    for norm, count in ((model[2].bn, 8), (model[1].cv1.bn, 4)):
        gone = torch.arange(len(norm.weight)) < count
        assert torch.equal(norm.weight == 0, gone) and torch.equal(norm.bias == 0, gone)
    assert torch.equal(run.ema.model[2].bn.weight == 0, model[2].bn.weight == 0)
    assert (model[0].bn.weight > 0.9).all()


def test_fading_is_linear_and_tied_channels_fade_together():
    model = network()
    with torch.no_grad():
        for norm in (model[0].bn, model[1].cv2.bn):
            norm.weight[3] = 1e-3
    run = make_run(model, total_steps=10)
    hook = start(FadeOut(Goal("channels", 2 / 56), ANY, choose_until=0.2, fade_until=0.6), run)
    values = []
    for _ in range(7):
        step(run, hook, gradient=1e-9)
        values.append((model[0].bn.weight[3].item(), model[1].cv2.bn.weight[3].item()))
    expected = [1e-3 * share for share in (1, 1, 0.75, 0.5, 0.25, 0, 0)]
    assert [v for v, _ in values] == pytest.approx(expected, abs=1e-8)
    assert all(a == b for a, b in values)


def test_when_the_channels_go_is_said_beforehand():
    """Ten batches of nominal size an epoch, so ten steps; 90 steps of 300 choose, after 180 all is gone."""
    schedule = Schedule(30, 10, 64, 0.01, 0.01, 0.9, 0.0, 0.8, 0.1)
    run, lines = make_run(network(), total_steps=schedule.total_steps()), []
    run.schedule, run.measure = schedule, lambda model: SimpleNamespace(map=0.5)
    fade = start(FadeOut(Goal("channels", 0.4), ANY, say=lines.append), run)
    assert lines == [
        "channels that go: chosen in epoch 9, at zero in epoch 17, 89 optimizer steps later; mAP dips meanwhile"
    ]
    run.step = 90
    assert fade.faded(run) == 0 and fade.faded(run, 1) > 0 and 0 < fade.faded(run, 89) < 1 and fade.faded(run, 90) == 1
    fade.max_drop, fade.delay, run.step = 0.1, 10, 0
    fade.start(run)
    assert "at zero in epoch 18, 99 optimizer steps later, if mAP lets it;" in lines[1]
    run.step = 190
    fade.start(run)
    assert len(lines) == 2  # over


def test_patience_counts_from_the_end_of_the_fade_and_for_what_is_reached_since():
    run = make_run(network(), total_steps=10)
    hook = start(FadeOut(Goal("channels", 0.4), fade_until=0.6), run)
    best_epochs = []
    run.best_epoch = 1  # the best of all was before the fade
    for run.step, fitness in [(4, 0.3), (5, 0.1), (6, 0.2), (7, 0.2), (8, 0.25), (9, 0.1)]:
        run.epoch, run.evaluation = run.step, SimpleNamespace(map=fitness, fitness=fitness)
        hook.after_validation(run)
        best_epochs.append(run.best_epoch)
    assert best_epochs == [4, 5, 6, 6, 8, 8]


def test_norms_of_frozen_layers_are_left_alone():
    model = network()
    model[0].requires_grad_(False)  # and with it the bottleneck's output, which is added to its input
    run = make_run(model)
    hook = start(FadeOut(Goal("channels", 0.2), ANY), run)
    frozen = [p.detach().clone() for p in (model[0].bn.weight, model[1].cv2.bn.weight)]
    for _ in range(10):
        for parameter in model.parameters():
            parameter.grad = torch.ones_like(parameter) if parameter.requires_grad else None
        hook.before_step(run)
        run.step += 1
        hook.after_step(run)
    assert torch.equal(frozen[0], model[0].bn.weight) and torch.equal(frozen[1], model[1].cv2.bn.weight)
    assert (model[2].bn.weight == 0).any() or (model[1].cv1.bn.weight == 0).any()


def test_a_resumed_fade_goes_on_as_if_nothing_had_happened():
    def run_to(steps, hook, run):
        while run.step < steps:
            step(run, hook, gradient=1e-3 * (1 + run.step))

    torch.manual_seed(0)
    one = make_run(network(), total_steps=20)
    whole = start(FadeOut(Goal("channels", 0.5), ANY), one)
    run_to(9, whole, one)
    torch.manual_seed(1)
    two = make_run(network(), total_steps=20)
    two.model.load_state_dict(one.model.state_dict())
    two.optimizer.load_state_dict(deepcopy(one.optimizer.state_dict()))
    two.step = one.step
    again = FadeOut(Goal("channels", 0.5), ANY)
    again.prepare(two.model)
    again.load_state_dict(deepcopy(whole.state_dict()))
    again.start(two)
    run_to(20, whole, one)
    run_to(20, again, two)
    assert all(torch.equal(a, b) for a, b in zip(one.model.state_dict().values(), two.model.state_dict().values()))


def test_a_goal_in_flops_silences_what_prune_cuts_for_the_same_budget():
    run = make_run(network(), total_steps=20)
    hook = start(FadeOut(Goal("FLOPs", 0.4), ANY, choose_until=0.2, fade_until=0.6), run)
    for _ in range(20):
        step(run, hook, gradient=1e-3)
    graph = trace_channels(run.model)
    cost, scores = NetworkCost.flops(graph, run.model), gamma_scores(run.model, graph)
    silent = {name: values > 0 for name, values in scores.items()}
    assert cost.of(silent) == pytest.approx(0.4 * cost.total, rel=0.02)
    keep = select_by_cost(scores, cost, 0.4, ANY)
    assert all((keep[name] == silent[name]).all() for name in keep)


def drop(run, hook, value):
    """An epoch of one step, after which mAP50-95 is `value`."""
    step(run, hook, gradient=1e-3)
    run.evaluation = SimpleNamespace(map=value, fitness=value)
    hook.after_validation(run)


def test_a_fade_waits_while_accuracy_is_too_low_but_not_for_ever():
    run = make_run(network(), total_steps=20)
    run.measure = lambda model: SimpleNamespace(map=0.5)
    hook = start(FadeOut(Goal("channels", 0.5), ANY, choose_until=0.2, fade_until=0.6, max_drop=0.1), run)
    course = []
    for value in [0.5] * 6 + [0.39] * 3 + [0.41] * 5 + [0.1] * 6:
        drop(run, hook, value)
        course.append(round(hook.faded(run) * 8))  # eighths: one a step when nothing is waited for
    # Steps 8 to 10 wait; 0.41 is within the drop; at 0.1 it waits for the one step that is left until 80 % of the run.
    assert course == [0, 0, 0, 0, 1, 2, 3, 3, 3, 3, 4, 5, 6, 7, 8, 8, 8, 8, 8, 8]
    assert (run.model[2].bn.weight == 0).sum() > 0
    assert hook.drop_lines((0.6, 0.45)) == ["mAP50-95 was 0.500 at the start: within --max-drop 0.1"]
    assert "loses more than --max-drop 0.1" in hook.drop_lines((0.6, 0.35))[0]


def test_a_drop_can_be_counted_from_another_network():
    run = make_run(network(), total_steps=20)
    fade = FadeOut(Goal("channels", 0.5), ANY, choose_until=0.2, fade_until=0.6, max_drop=0.1, baseline=0.7)
    hook = start(fade, run)  # which measures nothing: the run has no `measure`
    for value in [0.7] * 6 + [0.65] * 2:
        drop(run, hook, value)
    assert hook.faded(run) > 0 and not hook.waiting
    drop(run, hook, 0.59)
    assert hook.waiting and "was 0.700 at the start" in hook.drop_lines((0.7, 0.65))[0]


def test_who_loses_much_without_a_limit_is_told_what_helps():
    run = make_run(network(), total_steps=20)
    hook = start(FadeOut(Goal("channels", 0.5), ANY, choose_until=0.2, fade_until=0.6), run)
    for value in [0.3, 0.5, 0.4, 0.4, 0.9]:  # the last when the fade has begun
        drop(run, hook, value)
    assert hook.best_unfaded == 0.5 and hook.drop_lines((0.7, 0.451)) == [] and hook.drop_lines(None) == []
    (line,) = hook.drop_lines((0.7, 0.449))
    assert line.startswith("mAP50-95 was 0.500 before the channels faded") and "--epochs" in line
    assert "--target 0.5" in line


def test_a_fade_that_waits_for_ever_ends_at_the_latest_moment():
    run = make_run(network(), total_steps=20)
    run.measure = lambda model: SimpleNamespace(map=0.5)
    hook = start(FadeOut(Goal("channels", 0.5), ANY, choose_until=0.2, fade_until=0.6, max_drop=0.0), run)
    course = []
    for _ in range(20):
        drop(run, hook, 0.2)
        course.append(hook.faded(run))
    assert course[14] < 1 and course[15] == 1  # step 16 of 20
    assert hook.delay == 4


def test_a_resumed_fade_knows_its_baseline_and_how_long_it_has_waited():
    run = make_run(network(), total_steps=20)
    run.measure = lambda model: SimpleNamespace(map=0.5)
    hook = start(FadeOut(Goal("channels", 0.5), ANY, choose_until=0.2, max_drop=0.1), run)
    for value in [0.5] * 5 + [0.1] * 2:
        drop(run, hook, value)
    run.measure = None  # not measured again
    again = FadeOut(Goal("channels", 0.5), ANY, choose_until=0.2, max_drop=0.1)
    again.prepare(run.model)
    again.load_state_dict(deepcopy(hook.state_dict()))
    again.start(run)
    assert (again.delay, again.waiting, again.baseline) == (hook.delay, True, 0.5) and again.faded(run) == hook.faded(
        run
    )


def test_a_goal_in_time_uses_the_rates_that_the_run_began_with():
    rates = Rates((1e-6, 2e-6, 3e-6), 0.1, 1, 64, 0.0)
    run = make_run(network(), total_steps=20)
    hook = start(FadeOut(Goal("time", 0.5, 64, "torch", rates), ANY, choose_until=0.2, fade_until=0.6), run)
    for _ in range(20):
        step(run, hook, gradient=1e-3)
    graph = trace_channels(run.model)
    silent = {name: values > 0 for name, values in gamma_scores(run.model, graph).items()}
    cost = rates.cost(graph, run.model)
    assert cost.of(silent) == pytest.approx(0.5 * cost.total, rel=0.02)
    again = FadeOut(Goal("time", 0.5, 64, "torch", Rates((1.0, 1.0, 1.0), 0.0, 8, 64, 0.0)), ANY)
    again.load_state_dict(hook.state_dict())
    assert again.goal.rates == rates
    assert Goal("time", 0.5).cut(0.625) == "--percent 0.6250" and Goal("FLOPs", 0.5).cut(0.6) == "--flops 0.5"


def test_a_fade_to_another_target_is_not_resumed():
    hook = start(FadeOut(Goal("channels", 0.4)), make_run(network()))
    with pytest.raises(InputError, match="--target 0.3"):
        FadeOut(Goal("channels", 0.3)).load_state_dict(hook.state_dict())


def test_a_target_above_what_the_floors_allow_stops_before_training():
    with pytest.raises(InputError, match="at most"):
        start(FadeOut(Goal("channels", 0.95)), make_run(network()))


def test_a_fused_network_cannot_be_trained_sparsely():
    with pytest.raises(InputError, match="no batch norm"):
        start(GammaPenalty(0.1), make_run(nn.Sequential(nn.Conv2d(3, 8, 1), nn.Conv2d(8, 2, 1))))


@pytest.mark.parametrize("text", ["-0.1", "nan", "much", ""])
def test_wrong_strengths(text):
    with pytest.raises(InputError, match="--sr"):
        parse_strength(text)


@pytest.mark.parametrize(
    "given",
    [
        {"sr": "auto"},
        {"sr": "auto", "target": 1.0},
        {"sr": "auto", "target_flops": 0.0},
        {"sr": "auto", "target": 0.5, "target_flops": 0.5},
        {"sr": "auto", "target": 0.5, "penalty": "group"},
        {"sr": "0.1", "target": 2.0},
        {"sr": "auto", "target_latency": 1.5},
        {"sr": "auto", "target_latency": 0.5, "target_flops": 0.5},
        {"sr": "auto", "target": 0.5, "runtime": "torch"},
        {"sr": "auto", "target": 0.5, "max_drop": 0.01, "noval": True},
        {"sr": "0.1", "max_drop": 0.01},
        {"sr": "auto", "target": 0.5, "max_drop": 0.01, "activation": "nn.ReLU()"},
    ],
)
def test_options_that_do_not_fit_each_other(given):
    with pytest.raises(InputError):
        SparsityOptions(st=True, **given).check()


@pytest.mark.parametrize(
    ("given", "kind"), [({}, "channels"), ({"target_flops": 0.3}, "FLOPs"), ({"target_latency": 0.3}, "time")]
)
def test_what_a_run_aims_at(given, kind):
    assert SparsityOptions(**given).goal().kind == kind


def test_widths_that_stay_are_multiples_of_what_is_asked_for():
    model = nn.Sequential(Conv(3, 32), Conv(32, 32), nn.Conv2d(32, 2, 1))
    hooks = sparsity_hooks(SparsityOptions(st=True, sr="auto", target=0.5, round=16))
    assert [hook.limits.multiple for hook in hooks] == [16, 16]
    run = make_run(model, total_steps=20)
    hook = start(hooks[0], run)
    for _ in range(20):
        step(run, hook, gradient=1e-3)
    assert all(int((norm.weight != 0).sum()) % 16 == 0 for norm in (model[0].bn, model[1].bn))


def test_a_penalty_with_a_goal_may_be_a_misunderstanding():
    assert preamble(SparsityOptions(st=True, sr="0.1")) == preamble(SparsityOptions()) == []
    (line,) = preamble(SparsityOptions(sr="auto", target=0.5))
    assert line == "--sr auto and --target: no effect without --st, this is plain training"
    assert preamble(SparsityOptions(st=True, sr="auto", target=0.5)) == []
    (line,) = preamble(SparsityOptions(st=True, target_flops=0.5))
    assert "--sr 0.005 is a penalty" in line and "--target-flops is the cut" in line and line.endswith("--sr auto")
    (line,) = preamble(SparsityOptions(st=True, sr="auto", target_latency=0.5, runtime="torch"))
    assert "measuring in torch" in line


def test_after_too_weak_a_penalty_the_cut_that_was_asked_for_is_named(tmp_path):
    model = nn.Sequential(Conv(3, 32), Conv(32, 32), nn.Conv2d(32, 2, 1))
    rates = Rates((1.0, 1.0, 0.0), 0.0, 1, 64, 0.0)
    preview = PreviewHook(Goal("time", 0.6, 64, "onnx", rates), 0, ANY)
    preview.prepare(model)
    run = make_run(model)
    run.folder = RunFolder(tmp_path)
    words = verdict(run, [preview], "a.yaml")
    removed = sum(int((~mask).sum()) for mask in preview.choose(model)[0].values())
    assert 0 < removed < 64 and words.startswith("0.0% of the channels are at zero")
    assert (
        f"not sparse enough for --percent {removed / 64:.4f} --round 1: train longer" in words
        and "--target-latency 0.6" in words
    )


def test_without_st_there_is_no_hook():
    assert sparsity_hooks(SparsityOptions(sr="0.1")) == []
