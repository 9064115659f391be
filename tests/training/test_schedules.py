"""Learning-rate schedules against their formulas."""

import itertools
import math

import pytest

from sklearn_eqprop._training.epoch import ADAPTIVE_DIVISOR, ADAPTIVE_FLOOR, SCHEDULES


def rate_factor(schedule, n_epochs_done, length, n_cuts):
    return SCHEDULES[schedule](length).factor(n_epochs_done, n_cuts)


@pytest.mark.parametrize("n_done", [0, 1, 7, 30])
def test_each_schedule(n_done):
    assert rate_factor("constant", n_done, 20, 3) == 1
    assert rate_factor("invscaling", n_done, 20, 3) == pytest.approx(1 / math.sqrt(n_done + 1))
    assert rate_factor("adaptive", n_done, 20, 3) == pytest.approx(1 / 125)
    expected = (1 + math.cos(math.pi * (n_done % 20) / 20)) / 2  # warm restarts
    assert rate_factor("cosine", n_done, 20, 3) == pytest.approx(expected, abs=1e-15)


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_each_starts_at_1_and_never_rises(schedule):
    factors = [rate_factor(schedule, n_done, 20, n_done // 5) for n_done in range(20)]
    assert factors[0] == 1
    assert all(later <= earlier for earlier, later in itertools.pairwise(factors))


def test_within_an_epoch_only_the_cosine_falls():
    for schedule in ("constant", "invscaling", "adaptive"):
        assert rate_factor(schedule, 3.9, 20, 2) == rate_factor(schedule, 3, 20, 2)
    expected = (1 + math.cos(math.pi * 3.9 / 20)) / 2
    assert rate_factor("cosine", 3.9, 20, 0) == pytest.approx(expected, abs=1e-15)


def test_only_adaptive_cuts_the_rate_and_not_below_its_floor():
    for name, schedule in SCHEDULES.items():
        cuts = [n_cuts for n_cuts in range(20) if schedule(20).may_cut(n_cuts)]
        expected = [n for n in range(20) if ADAPTIVE_DIVISOR ** -(n + 1) >= ADAPTIVE_FLOOR]
        assert cuts == (expected if name == "adaptive" else [])
