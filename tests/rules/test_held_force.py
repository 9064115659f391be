"""Losses of unbounded curvature under nudging with both signs: their force is held."""

import numpy as np
import pytest

from sklearn_eqprop._relaxation import RELAXATIONS
from sklearn_eqprop._rules.base import Minibatch
from sklearn_eqprop._substrates.averaging import AveragingNetwork, RunLengths
from sklearn_eqprop._substrates.limits import SettlingLimits
from sklearn_eqprop._substrates.phases import nudged_states
from sklearn_eqprop._substrates.simulated import SimulatedNetwork
from tests import every_loss
from tests.dense_truth import random_net, random_task
from tests.engine import METHODS, joined, network_of, rule_of, substrate_of

SIZES = (4, 6, 5, 3)
SHARES = np.array([0.5, 0.1, 0.15, 0.25])
BETAS = (0.4, 0.2, 0.1, 0.05)
UNBOUNDED = pytest.mark.parametrize("loss", ["poisson", "user's"])


class Sign:
    """A random state that draws one sign of β."""

    def __init__(self, sign):
        self.sign = sign

    def randint(self, _):
        return self.sign


def _vector(rule, substrate, X, Y, loss, sign=0):
    batch = Minibatch(X, Y, every_loss.LOSSES[loss], SHARES[:, None], Sign(sign))
    return np.concatenate([c.ravel() for c in rule.credit(substrate, batch).changes])


def _mean_of_both_signs(gradient, beta, *arguments):
    rule = rule_of(gradient, "random_sign", beta)
    return 0.5 * (_vector(rule, *arguments, 0) + _vector(rule, *arguments, 1))


def _problem(loss):
    net = random_net(SIZES, "tanh", gain=0.9, loop=0.4)
    return net, *random_task(4, SIZES, loss)


@pytest.mark.parametrize("gradient", ["vector_field", "asymmetric"])
@UNBOUNDED
def test_the_mean_over_random_signs_has_an_error_of_second_order(loss, gradient):
    net, X, Y = _problem(loss)
    if gradient == "vector_field":
        truth = every_loss.theorem_1(net, X, {loss: Y}, SHARES)[loss]
    else:
        truth = -every_loss.gradients(net, X, {loss: Y}, SHARES)[loss]
    substrate = substrate_of(net)
    means = [_mean_of_both_signs(gradient, beta, substrate, X, Y, loss) for beta in BETAS]
    errors = [np.linalg.norm(mean - truth) / np.linalg.norm(truth) for mean in means]
    assert np.polyfit(np.log(BETAS), np.log(errors), 1)[0] > 1.9
    assert errors[-1] < 2e-3


@pytest.mark.parametrize("averages", [False, True], ids=["fixed_point", "trajectory"])
@pytest.mark.parametrize("loss", ["squared_error", "log_loss", "huber", "poisson", "user's"])
def test_both_signs_follow_one_rule(loss, averages):
    """Centred nudging is the mean over both signs, with every loss and any β."""
    net, X, Y = _problem(loss)
    substrate = substrate_of(net)
    if averages:  # cut short: the states still move
        substrate = AveragingNetwork(network_of(net), 0.3, RunLengths(3, 7))
    arguments = substrate, X, Y, loss
    centered = _vector(rule_of("vector_field", "centered", 0.3), *arguments)
    assert np.abs(_mean_of_both_signs("vector_field", 0.3, *arguments) - centered).max() < 1e-12


class Watched(SimulatedNetwork):
    """It keeps the states of its nudged phases, which a rule overwrites."""

    def settle_nudged(self, free, loss, target, strengths):
        results = super().settle_nudged(free, loss, target, strengths)
        self.nudged = [joined(nudged_states(free, result).states) for result in results]
        assert all(result.converged.all() for result in results)
        return results


def _watched(net, rule, X, Y, method="gauss_seidel", sign=0):
    """Outputs of the free phase, and nudged states, of a step with the Poisson loss."""
    limits = SettlingLimits(1e-14, 1e-14, 3000, 3000)
    substrate = Watched(network_of(net), RELAXATIONS[method](1.0), limits)
    loss = every_loss.LOSSES["poisson"]
    credit = rule.credit(substrate, Minibatch(X, Y, loss, SHARES[:, None], Sign(sign)))
    return credit.free.result.states[-1], substrate.nudged


def _balance(net, S, X, force):
    """Velocity of the nudged dynamics, where `force` acts on the output."""
    balance = net.drive(S, X) - S
    balance[:, net.span(3)] += force
    return np.abs(balance).max()


@pytest.mark.parametrize("nudging", ["centered", "random_sign"])
@pytest.mark.parametrize("method", METHODS)
def test_the_force_of_the_free_equilibrium_is_held(method, nudging):
    net, X, Y = _problem("poisson")
    Y[:3] = 0  # samples without events: no β pushes exp(s) away without risk
    rule = rule_of("vector_field", nudging, 0.9)
    for sign in (1, 0):
        output, nudged = _watched(net, rule, X, Y, method, sign)
        strengths = (0.9, -0.9) if nudging == "centered" else (0.9 if sign else -0.9,)
        for S, beta in zip(nudged, strengths, strict=True):
            assert _balance(net, S, X, beta * (Y - np.exp(output))) < 1e-12


def test_one_side_alone_uses_the_loss_itself():
    net, X, Y = _problem("poisson")
    _, [S] = _watched(net, rule_of("vector_field", "one_sided", 0.4), X, Y)
    assert _balance(net, S, X, 0.4 * (Y - np.exp(S[:, net.span(3)]))) < 1e-12
