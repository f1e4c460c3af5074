"""Schedules against closed forms, PyTorch, and themselves after a restart."""

import json
import math

import numpy as np
import pytest

from nnseq.optim import Constant, Cosine, Plateau, StepDecay, WarmupLinear

EVERY = {
    "constant": lambda: Constant(0.1),
    "steps": lambda: StepDecay(0.1, 3, 0.5),
    "cosine": lambda: Cosine(0.1, 9, warmup=2, min_lr=0.01),
    "linear": lambda: WarmupLinear(0.1, 9, warmup=2, min_lr=0.01),
    "plateau": lambda: Plateau(0.1, 2, 0.5, min_lr=0.02, patience_factor=0.5),
}


def rates(schedule, count, metric=None):
    found = []
    for n in range(count):
        found.append(schedule.lr)
        schedule.advance()
        if metric is not None:
            schedule.observe(metric[n])
    return found


def test_step_decay_cuts_after_every_so_many_steps():
    expected = [0.1] * 3 + [0.05] * 3 + [0.025] * 2
    np.testing.assert_allclose(rates(StepDecay(0.1, 3, 0.5), 8), expected)


def test_cosine_warms_up_falls_along_a_cosine_and_stays():
    found = rates(Cosine(0.1, 9, warmup=2, min_lr=0.01), 12)
    falling = [0.01 + 0.09 * (1 + math.cos(math.pi * k / 7)) / 2 for k in range(7)]
    np.testing.assert_allclose(found, [0.05, 0.1, *falling, 0.01, 0.01, 0.01])


def test_linear_falls_in_equal_steps():
    found = rates(WarmupLinear(0.1, 9, warmup=2, min_lr=0.03), 11)
    np.testing.assert_allclose(found, [0.05, 0.1, *np.linspace(0.1, 0.03, 8), 0.03])


def test_cosine_agrees_with_torch():
    torch = pytest.importorskip("torch", reason="compares with PyTorch (extra: parity)")
    peer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], 0.1)
    theirs = torch.optim.lr_scheduler.CosineAnnealingLR(peer, 8, eta_min=0.01)
    ours = Cosine(0.1, 8, min_lr=0.01)
    for _ in range(8):
        assert ours.lr == pytest.approx(peer.param_groups[0]["lr"], rel=1e-12)
        peer.step()
        theirs.step()
        ours.advance()


def test_plateau_agrees_with_torch():
    torch = pytest.importorskip("torch", reason="compares with PyTorch (extra: parity)")
    metric = np.random.default_rng(0).random(60) + np.linspace(1, 0.5, 60)
    peer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], 0.1)
    theirs = torch.optim.lr_scheduler.ReduceLROnPlateau(
        peer, factor=0.5, patience=3, threshold=0.01, min_lr=1e-3
    )
    ours = Plateau(0.1, 4, 0.5, threshold=0.01, min_lr=1e-3)  # theirs cuts once it is exceeded
    for value in metric:
        theirs.step(value)
        ours.observe(value)
        assert ours.lr == pytest.approx(peer.param_groups[0]["lr"], rel=1e-12)
    assert ours.lr < 0.1


def test_plateau_waits_cuts_and_waits_less_each_time():
    schedule = Plateau(1.0, 5, 0.1, patience_factor=0.5)
    cuts = [schedule.observe(2.0) for _ in range(12)]  # the first one is an improvement
    assert [n for n, was_cut in enumerate(cuts) if was_cut] == [5, 8, 9, 10, 11]  # 5, 3, 1, 1, 1
    assert schedule.lr == pytest.approx(1e-5)


def test_plateau_waits_for_what_is_added_after_every_cut():
    schedule = Plateau(1.0, 3, 0.1, patience_factor=0.5, patience_added=2)
    cuts = [schedule.observe(2.0) for _ in range(19)]
    assert [n for n, was_cut in enumerate(cuts) if was_cut] == [5, 9, 12, 14, 16, 18]  # 5 4 3 2 2 2


def test_plateau_stops_where_lr_would_fall_below_the_least():
    schedule = Plateau(1.0, 1, 0.1, min_lr=0.05, stop=True)
    schedule.observe(1.0)
    assert schedule.observe(1.0)
    assert schedule.lr == pytest.approx(0.1)
    assert not schedule.is_finished
    assert not schedule.observe(1.0)
    assert schedule.is_finished
    assert schedule.lr == pytest.approx(0.1)


def test_plateau_without_stop_holds_the_least_lr():
    schedule = Plateau(1.0, 1, 0.1, min_lr=0.05)
    for _ in range(5):
        schedule.observe(1.0)
    assert schedule.lr == 0.05
    assert not schedule.is_finished


def test_plateau_counts_nan_as_no_improvement_and_negative_metrics_relatively():
    schedule = Plateau(1.0, 2, 0.5, threshold=0.1)
    schedule.observe(-1.0)
    schedule.observe(-1.05)  # less than a tenth better
    assert schedule.num_bad == 1
    schedule.observe(-1.2)
    assert (schedule.num_bad, schedule.best) == (0, -1.2)
    schedule.observe(float("nan"))
    assert schedule.observe(float("nan"))


def test_plateau_restarts_for_the_next_stage():
    schedule = Plateau(1.0, 1, 0.5, stop=True, min_lr=0.4)
    for _ in range(4):
        schedule.advance()
        schedule.observe(1.0)
    assert schedule.is_finished
    schedule.restart(0.8)
    assert (schedule.lr, schedule.is_finished, schedule.num_steps) == (0.8, False, 4)
    assert not schedule.observe(5.0)  # worse than before, but the first of its stage


@pytest.mark.parametrize("kind", EVERY)
def test_a_restart_from_its_state_continues_exactly(kind):
    metric = np.random.default_rng(1).random(20).tolist()
    whole = rates(EVERY[kind](), 20, metric)
    first, second = EVERY[kind](), EVERY[kind]()
    begin = rates(first, 9, metric)
    second.load_state_dict(json.loads(json.dumps(first.state_dict(), allow_nan=False)))
    assert begin + rates(second, 11, metric[9:]) == whole


def test_a_fresh_state_is_plain_json():
    for make in EVERY.values():
        json.dumps(make().state_dict(), allow_nan=False)


def test_the_state_of_another_schedule_is_refused():
    with pytest.raises(ValueError, match="Plateau: load_state_dict: got num_steps, expected best"):
        EVERY["plateau"]().load_state_dict(Constant(0.1).state_dict())


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Constant(-1), "Constant: lr is -1"),
        (lambda: StepDecay(0.1, 0), "every is 0"),
        (lambda: StepDecay(0.1, 5, 2.0), "factor is 2.0"),
        (lambda: Cosine(0.1, 5, warmup=5), "warmup is 5"),
        (lambda: Cosine(0.1, 5, min_lr=0.2), "min_lr is 0.2"),
        (lambda: Plateau(0.1, 0), "patience is 0"),
        (lambda: Plateau(0.1, 1, 1.0), "factor is 1.0"),
        (lambda: Plateau(0.1, 1, patience_added=-1), "patience_added is -1"),
        (lambda: Plateau(0.1, 1, min_lr=0.01).restart(0.001), "lr is 0.001"),
    ],
)
def test_bad_arguments_are_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()
