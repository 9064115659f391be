"""Learning-rate schedules against their formulas."""

import itertools
import math

import pytest

from sklearn_eqprop._training.schedules import rate_factor


@pytest.mark.parametrize("n_done", [0, 1, 7, 30])
def test_each_schedule(n_done):
    assert rate_factor("constant", n_done, 20, 3) == 1
    assert rate_factor("invscaling", n_done, 20, 3) == pytest.approx(1 / math.sqrt(n_done + 1))
    assert rate_factor("adaptive", n_done, 20, 3) == pytest.approx(1 / 125)
    expected = (1 + math.cos(math.pi * (n_done % 20) / 20)) / 2  # warm restarts
    assert rate_factor("cosine", n_done, 20, 3) == pytest.approx(expected, abs=1e-15)


@pytest.mark.parametrize("schedule", ["constant", "invscaling", "adaptive", "cosine"])
def test_each_starts_at_1_and_never_rises(schedule):
    factors = [rate_factor(schedule, n_done, 20, n_done // 5) for n_done in range(20)]
    assert factors[0] == 1
    assert all(later <= earlier for earlier, later in itertools.pairwise(factors))


def test_within_an_epoch_only_the_cosine_falls():
    for schedule in ("constant", "invscaling", "adaptive"):
        assert rate_factor(schedule, 3.9, 20, 2) == rate_factor(schedule, 3, 20, 2)
    expected = (1 + math.cos(math.pi * 3.9 / 20)) / 2
    assert rate_factor("cosine", 3.9, 20, 0) == pytest.approx(expected, abs=1e-15)
