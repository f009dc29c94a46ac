"""The fade: exact zeros in the chosen channels, the course of it, patience and resuming."""

from copy import deepcopy
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from tests.utils.sparsity.steps import make_run, network, start, step
from utils.data.labels import Sample
from utils.data.samples import Samples
from utils.errors import InputError
from utils.pruning.channels.groups import trace_channels
from utils.pruning.choice.costs import NetworkCost
from utils.pruning.choice.limits import Limits
from utils.pruning.choice.milliseconds import Rates
from utils.pruning.choice.selection import select_by_cost
from utils.pruning.scores.parameters import gamma_scores
from utils.sparsity.fading import FadeOut
from utils.sparsity.goal import Goal
from utils.training.optim import Schedule

ANY = Limits(1, 1.0, 1)


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


def test_what_is_to_be_expected_is_said_beforehand():
    rows = [np.array([[kind, 0.5, 0.5, 0.1, 0.1]], np.float32) for kind in (0, 1, 2)]
    samples = Samples.of([Sample("a.png", (8, 8), rows[index % 3], None) for index in range(60)])
    first, second = FadeOut(Goal("channels", 0.5), ANY).opening_lines(make_run(network(), total_steps=200), samples)
    assert "200 optimizer steps, 60 of them for the fade; about 63% of the FLOPs stay" in first
    assert "70 photos of 3 classes, 137 steps" in second


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


def test_a_target_that_frozen_layers_make_impossible_names_freeze():
    model = network()
    reached, beyond = FadeOut(Goal("channels", 0.4)), FadeOut(Goal("channels", 0.95))
    reached.prepare(model)
    model[0].requires_grad_(False)
    with pytest.raises(InputError, match=r"--target 0.4: 40.0% .* at most .*; --freeze keeps"):
        reached.prepare(model)
    with pytest.raises(InputError, match="at most") as error:
        beyond.prepare(model)
    assert "--freeze" not in str(error.value)


def test_scores_are_the_mean_squares_of_gamma_and_beta_times_their_gradients_summed_over_ties():
    """Channel 3 of the residual chain: two tied batch norms with gamma 2 and 3, beta 1 and −1; two steps."""
    model = network()
    tied = model[0].bn, model[1].cv2.bn
    run = make_run(model, total_steps=10)
    hook = start(FadeOut(Goal("channels", 2 / 56), ANY, choose_until=0.5, fade_until=0.9), run)
    gradients = [(0.5, 0.25), (-1.0, 2.0)]  # of gammas, of betas
    for gamma_gradient, beta_gradient in gradients:
        with torch.no_grad():
            for norm, gamma, beta in zip(tied, (2.0, 3.0), (1.0, -1.0), strict=True):
                norm.weight[3], norm.bias[3] = gamma, beta
        for parameter in model.parameters():
            parameter.grad = torch.zeros_like(parameter)
        for norm in tied:
            norm.weight.grad[3], norm.bias.grad[3] = gamma_gradient, beta_gradient
        hook.before_step(run)
    # (2 + 3)·0.5 + (1 − 1)·0.25 = 2.5 and (2 + 3)·−1 + 0 = −5
    scores = hook.parameters.by_group(hook.scores)[tied_group(model)]
    assert scores[3] == pytest.approx((2.5**2 + 5**2) / 2)
    assert scores[:3].tolist() == [0, 0, 0]


def tied_group(model):
    """Return the name of the group of the first convolution."""
    return next(group.name for group in trace_channels(model).groups if "0.conv" in group.members)


def test_a_fade_that_has_ended_waits_for_nothing():
    model = network()
    run = make_run(model, total_steps=10)
    run.measure = lambda _: SimpleNamespace(map=0.5)
    hook = start(FadeOut(Goal("channels", 2 / 56), ANY, choose_until=0.2, fade_until=0.6, max_drop=0.1), run)
    found = []
    for steps in (1, 4, 10):  # before, amid and after the fade
        run.step, run.evaluation = steps, SimpleNamespace(map=0.1, fitness=0.1)
        hook.after_validation(run)
        found.append(hook.waiting)
    assert found == [False, True, False]
