"""Facts that losses state about themselves, against what the losses do."""

import math

import numpy as np
import pytest

from sklearn_eqprop._losses import (
    LABEL_LOSSES,
    MULTILABEL_LOSSES,
    NUMBER_LOSSES,
    WrappedLoss,
)


def test_registries_hold_each_loss_by_its_name():
    assert set(LABEL_LOSSES) == set(MULTILABEL_LOSSES) == {"log_loss", "squared_error"}
    assert set(NUMBER_LOSSES) == {"squared_error", "absolute_error", "huber", "poisson"}
    for registry in (LABEL_LOSSES, MULTILABEL_LOSSES, NUMBER_LOSSES):
        assert all(loss.name == name for name, loss in registry.items())
        assert not any(issubclass(loss, WrappedLoss) for loss in registry.values())


@pytest.mark.parametrize("name", MULTILABEL_LOSSES)
def test_a_label_is_predicted_if_it_is_more_probable_than_not(name):
    loss = MULTILABEL_LOSSES[name]()
    at, above = (np.array([[loss.label_threshold + shift]]) for shift in (0, 1e-3))
    assert loss.probabilities(np, at) == pytest.approx(0.5)
    assert loss.probabilities(np, above) > 0.5


@pytest.mark.parametrize("name", NUMBER_LOSSES)
def test_the_force_vanishes_at_the_target_or_at_its_logarithm(name):
    loss, target = NUMBER_LOSSES[name](), np.array([[0.3, 2.0]])
    best = np.log(target) if loss.predicts_log else target
    assert np.abs(loss.force(np, best, target)).max() < 1e-15


@pytest.mark.parametrize("name", NUMBER_LOSSES)
def test_what_may_be_clamped_has_the_displacement_as_its_force(name):
    loss = NUMBER_LOSSES[name]()
    rng = np.random.RandomState(0)
    output, target = 3 * rng.standard_normal((20, 2)), rng.exponential(size=(20, 2))
    found = loss.force(np, output, target)
    assert loss.clampable == bool(np.abs(found - (target - output)).max() < 1e-12)


class Half:
    curvature = 2.0
    label_threshold = 0.25

    def value(self, output, target):
        return ((output - target) ** 2).sum(axis=1)

    def derivative(self, output, target):
        return 2 * (output - target)


class Bare:
    value, derivative = Half.value, Half.derivative


def test_a_loss_of_the_user_keeps_its_facts():
    loss = WrappedLoss(Half())
    assert (loss.name, loss.curvature, loss.label_threshold) == ("Half", 2.0, 0.25)
    assert not loss.clampable
    bare = WrappedLoss(Bare())
    assert math.isinf(bare.curvature)
    assert math.isnan(bare.label_threshold)


def test_a_threshold_must_be_a_number():
    class Odd(Half):
        label_threshold = "half"

    message = r"loss\.label_threshold='half' must be a number.* Set it to a number"
    with pytest.raises(ValueError, match=message):
        WrappedLoss(Odd())
