"""Jacobian homeostasis against dense linear algebra: the penalty, its gradient, where it leads."""

import numpy as np
import pytest

from sklearn_eqprop._feedback import FEEDBACK_WAYS
from sklearn_eqprop._feedback.homeostasis import draw_probes, homeostatic_shares, homeostatic_steps
from sklearn_eqprop._network import Dense, attenuations, feedback_gains, layered_wiring
from sklearn_eqprop._substrates.probes import local_asymmetries
from sklearn_eqprop._training.sgd import SGD
from sklearn_eqprop._training.trainer import LearningSettings, Trainer, trained_parameters
from tests.dense_truth import DenseNet, random_net, random_task
from tests.engine import LOSSES, network_of, rule_of, substrate_of, update

SIZES = (4, 6, 5, 3)
ACTIVATIONS = ("hard_sigmoid", "relu", "tanh", "identity")


def _gains(net):
    return [
        np.linalg.norm(back) / np.linalg.norm(forward)
        for back, forward in zip(net.feedback, net.coefs[1:], strict=True)
    ]


def _scaled_jacobian(net, s, gains):
    """T^-1 A T of one sample, of the units that are free to move, 0 elsewhere.

    t_l / t_{l+1} = sqrt(γ_l), written with the product of the gains from the output down.
    """
    t = np.ones(s.size)
    for layer, gain in zip(range(net.n_layers - 1, 0, -1), reversed(gains), strict=True):
        t[net.span(layer)] = t[net.span(layer + 1)][0] * np.sqrt(gain)
    free = net.interior(s)
    return net.jacobian(s) * np.outer(free, free) * np.outer(1 / t, t)


def _penalties(net, X, shares, gains):
    """P_l of every loop: the antisymmetric part of the scaled Jacobian, relative to γ_l."""
    totals = np.zeros(net.n_layers - 1)
    for s, share in zip(net.equilibrium(X), shares, strict=True):
        A = _scaled_jacobian(net, s, gains)
        K = A - A.T
        for index, gain in enumerate(gains):
            block = K[net.span(index + 1), net.span(index + 2)]
            totals[index] += share * (block**2).sum() / (2 * gain)
    return totals


def _frozen(net, X):
    """Jacobians at equilibria that stay where they are while weights change: P_l as homeostasis
    sees it, a function of the weights at given states.
    """
    states = net.equilibrium(X)

    class Frozen(DenseNet):
        def equilibrium(self, X, *args, **kwargs):
            return states

    return Frozen(net.activation, net.coefs, net.biases, net.feedback)


def _with_feedback(net, feedback):
    return type(net)(net.activation, net.coefs, net.biases, feedback)


def _slope_of_penalty(net, X, shares, gains_of, index, step=1e-6):
    """∂P_l/∂B_l by central differences, the gains worked out anew by `gains_of`."""
    slopes = np.empty_like(net.feedback[index])
    for place in np.ndindex(slopes.shape):
        values = []
        for sign in (1, -1):
            feedback = [block.copy() for block in net.feedback]
            feedback[index][place] += sign * step
            moved = _with_feedback(net, feedback)
            values.append(_penalties(moved, X, shares, gains_of(moved))[index])
        slopes[place] = (values[0] - values[1]) / (2 * step)
    return slopes


def _exact_probes(net, X, shares):
    """Every sample once for each unit, probed with sqrt(units) times that unit alone.

    The mean over them of e e^T is exactly the identity.
    """
    n_units = net.ends[-1]
    probes = np.tile(np.sqrt(n_units) * np.eye(n_units), (len(X), 1))
    return X.repeat(n_units, axis=0), net.split(probes), shares.repeat(n_units) / n_units


def _asymmetries(net, X, probes, shares, gains):
    substrate = substrate_of(net)
    return substrate.local_asymmetry(substrate.settle(X), probes, gains, shares[:, None])


def _setting(activation, seed=0):
    net = random_net(SIZES, activation, seed=seed)
    X, _ = random_task(3, SIZES, seed=seed)
    S = net.equilibrium(X)
    bounded = activation in ("hard_sigmoid", "relu")
    assert net.margin(S, X) > 1e-4
    assert bounded == (not net.interior(S).all())  # some units are held at a bound
    return net, X, np.array([0.5, 0.2, 0.3])


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_the_penalty_is_that_of_the_paper(activation):
    # E[||A e||² - e^T A² e], e over a basis instead of Gaussian: the same second moments.
    net, X, shares = _setting(activation)
    gains = _gains(net)
    total = 0.0
    for s, share in zip(net.equilibrium(X), shares, strict=True):
        A = _scaled_jacobian(net, s, gains)
        total += share * sum((A @ e) @ (A @ e) - e @ (A @ (A @ e)) for e in np.eye(len(A)))
    assert total > 0.1
    assert abs(2 * np.dot(gains, _penalties(net, X, shares, gains)) - total) < 1e-12


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_what_synapses_measure_is_the_gradient_of_the_penalty(activation):
    net, X, shares = _setting(activation)
    gains = _gains(net)
    found = _asymmetries(net, *_exact_probes(net, X, shares), gains)
    frozen = _frozen(net, X)
    for index, gain in enumerate(gains):
        truth = gain * _slope_of_penalty(frozen, X, shares, lambda _: gains, index)
        assert np.abs(truth).max() > 1e-2
        assert np.abs(found[index] - truth).max() < 1e-7


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_the_step_descends_the_penalty_whose_gains_follow_the_feedback(activation):
    net, X, shares = _setting(activation)
    gains = _gains(net)
    found = _asymmetries(net, *_exact_probes(net, X, shares), gains)
    steps = homeostatic_steps(network_of(net), found, gains, [0.1] * 2)
    frozen = _frozen(net, X)
    for index, (gain, step) in enumerate(zip(gains, steps, strict=True)):
        truth = -0.1 * gain**2 * _slope_of_penalty(frozen, X, shares, _gains, index)
        assert np.abs(step - truth).max() < 1e-7
        assert abs(np.vdot(step, net.feedback[index])) < 1e-12  # it turns, and does not stretch


def test_random_probes_have_the_moments_that_the_mean_needs():
    net, _, _ = _setting("tanh")
    network = network_of(net)
    n = 20_000
    probes = np.concatenate(draw_probes(network, n, np.random.RandomState(0)), axis=1)
    assert probes.shape == (n, net.ends[-1])
    # Five standard deviations of a mean of n products; squares have twice the variance.
    assert np.abs(probes.mean(axis=0)).max() < 5 / np.sqrt(n)
    assert np.abs(probes.T @ probes / n - np.eye(net.ends[-1])).max() < 5 * np.sqrt(2 / n)


def test_random_probes_estimate_the_gradient():
    net, X, shares = _setting("hard_sigmoid")
    gains = _gains(net)
    truth = _asymmetries(net, *_exact_probes(net, X, shares), gains)
    n = 20_000
    probes = draw_probes(network_of(net), n * len(X), np.random.RandomState(0))
    many = _asymmetries(net, X.repeat(n, axis=0), probes, shares.repeat(n) / n, gains)
    for one, other in zip(many, truth, strict=True):
        assert np.abs(other).max() > 0.1
        assert np.abs(one - other).max() < 0.03


def _act(network, probes, weights, share):
    """One homeostatic update of a network of linear units, nothing else."""
    gains = feedback_gains(network)
    asymmetries = local_asymmetries(network, [None] * network.n_layers, probes, gains, weights)
    steps = homeostatic_steps(network, asymmetries, gains, [share] * len(gains))
    for feedback, step in zip(network.feedback, steps, strict=True):
        feedback.weights += step


@pytest.mark.parametrize("seed", [0, 1])
def test_acting_alone_it_takes_the_penalty_to_zero(seed):
    net = random_net(SIZES, "identity", seed=seed)
    X, _ = random_task(1, SIZES, seed=seed)
    network = network_of(net)
    _, probes, weights = _exact_probes(net, X, np.ones(1))
    start = feedback_gains(network)
    for _ in range(500):
        _act(network, probes, weights[:, None], 0.1)
    feedback = [connection.weights for connection in network.feedback]
    settled = _with_feedback(net, feedback)
    assert _penalties(net, X, np.ones(1), _gains(net)).min() > 0.1
    assert _penalties(settled, X, np.ones(1), _gains(settled)).max() < 1e-20
    # Steps across B lengthen it a little, to second order; independent feedback has far to turn.
    for before, after in zip(start, feedback_gains(network), strict=True):
        assert 1 <= after / before < 1.2


def test_random_probes_take_the_penalty_towards_zero():
    net = random_net(SIZES, "identity")
    X, _ = random_task(1, SIZES)
    network, rng = network_of(net), np.random.RandomState(0)
    for update_number in range(1500):
        share = 1 / (10 + update_number)
        _act(network, draw_probes(network, 20, rng), 1 / 20, share)
    settled = _with_feedback(net, [connection.weights for connection in network.feedback])
    before = _penalties(net, X, np.ones(1), _gains(net))
    after = _penalties(settled, X, np.ones(1), _gains(settled))
    assert (after < 1e-2 * before).all()


def test_no_weight_is_used_in_reverse(monkeypatch):
    net, X, shares = _setting("tanh")
    substrate = substrate_of(net)
    free = substrate.settle(X)
    probes = draw_probes(substrate.network, len(X), np.random.RandomState(0))

    def refuse(self, post):
        raise AssertionError("a synapse cannot be used backwards")

    monkeypatch.setattr(Dense, "apply_transposed", refuse)
    found = substrate.local_asymmetry(free, probes, _gains(net), shares[:, None])
    assert all(np.abs(block).max() > 0 for block in found)


def test_each_synapse_depends_on_what_its_two_units_see():
    # Change the signals of all other units and all other weights into layer 1: nothing changes.
    net, X, shares = _setting("identity")
    network, gains = network_of(net), _gains(net)
    probes = draw_probes(network, len(X), np.random.RandomState(0))
    one = local_asymmetries(network, [None] * 3, probes, gains, shares[:, None])[0]
    other_probes = [probe.copy() for probe in probes]
    others = network_of(net)
    j, i = 2, 4
    others.feedback[0].weights[np.arange(5) != j, :] += 1
    others.feedback[0].weights[:, np.arange(6) != i] -= 1
    others.forward[1].weights[:, np.arange(5) != j] += 1
    other_probes[1][:] += 1
    two = local_asymmetries(others, [None] * 3, other_probes, gains, shares[:, None])[0]
    assert abs(one[j, i] - two[j, i]) < 1e-13
    assert np.abs(one - two).max() > 0.1


@pytest.mark.parametrize("activation", ["hard_sigmoid", "relu"])
def test_symmetry_in_scaled_units_makes_the_rescaled_update_the_gradient(activation):
    # What homeostasis aims at, B_l = γ_l F_{l+1}^T: dividing by Π γ is then all that is missing.
    net = random_net(SIZES, activation, gain=0.6)
    gains = (0.3, 0.2)
    feedback = [gain * coef.T for gain, coef in zip(gains, net.coefs[1:], strict=True)]
    net = _with_feedback(net, feedback)
    X, Y = random_task(3, SIZES)
    shares = np.full(3, 1 / 3)
    assert net.margin(net.equilibrium(X), X) > 1e-3
    assert _penalties(net, X, shares, gains).max() < 1e-28
    found = net.with_theta(update(net, X, Y, "squared_error", 1e-4, shares, "centered")).blocks()
    exact = net.with_theta(-net.gradient(X, "squared_error", Y, shares)).blocks()
    for layer, scale in enumerate(attenuations(layered_wiring(3), gains), start=1):
        for block in (layer - 1, 4 + layer):  # F_l and b_l
            assert np.abs(exact[block]).max() > 1e-3
            assert np.abs(found[block] / scale - exact[block]).max() < 1e-6


def _trainer(net, feedback_learning, rates=(0.3, 0.2, 0.1)):
    substrate = substrate_of(net)
    network, way = substrate.network, FEEDBACK_WAYS[feedback_learning]()
    return Trainer(
        substrate,
        network,
        rule_of("vector_field"),
        LOSSES["squared_error"],
        SGD(trained_parameters(network, way), network.backend),
        None,
        LearningSettings(rates, 0.0, way, layerwise_rescale=False),
        probe_rng=np.random.RandomState(0),
    )


def test_a_training_step_adds_homeostasis_to_the_paper_s_own_step():
    net, X, shares = _setting("tanh")
    _, Y = random_task(3, SIZES)
    local, both = _trainer(net, "local"), _trainer(net, "homeostasis")
    for trainer in (local, both):
        trainer.train_on(X, Y, 4 * shares, 0.5, np.random.RandomState(0))
    probes = draw_probes(local.network, 3, np.random.RandomState(0))
    gains = _gains(net)
    found = _asymmetries(net, X, probes, shares, gains)
    steps = homeostatic_steps(
        network_of(net), found, gains, homeostatic_shares(both.network, 3, 0.5)
    )
    for one, other in zip(local.network.forward, both.network.forward, strict=True):
        assert np.array_equal(one.weights, other.weights)
    for one, other, step in zip(local.network.feedback, both.network.feedback, steps, strict=True):
        assert np.abs(step).max() > 1e-7
        assert np.abs(other.weights - one.weights - step).max() < 1e-14


def test_shares_go_with_the_samples_and_have_a_limit():
    network = network_of(random_net(SIZES, "identity"))
    shares = np.array(homeostatic_shares(network, 30, 1.0))
    assert shares == pytest.approx([2 * 0.1**2 * 30 / 6, 2 * 0.1**2 * 30 / 5])
    assert homeostatic_shares(network, 60, 0.25) == pytest.approx(0.5 * shares)
    assert homeostatic_shares(network, 10**9, 1.0) == [0.5, 0.5]


def test_the_noise_that_random_probes_leave_is_a_tenth():
    # Linear units: settled feedback is γ F^T and noise of that size around it.
    sizes = (4, 40, 30, 3)
    network, rng = network_of(random_net(sizes, "identity")), np.random.RandomState(0)
    n = 20
    distances = []
    for number in range(1500):
        shares = homeostatic_shares(network, n, 1.0)
        gains = feedback_gains(network)
        probes = draw_probes(network, n, rng)
        found = local_asymmetries(network, [None] * 3, probes, gains, 1 / n)
        steps = homeostatic_steps(network, found, gains, shares)
        for feedback, step in zip(network.feedback, steps, strict=True):
            feedback.weights += step
        if number >= 1000:
            B, F = network.feedback[0].weights, network.forward[1].weights.T
            cosine = np.vdot(B, F) / np.linalg.norm(B) / np.linalg.norm(F)
            distances.append(np.sqrt(1 - cosine**2))
    assert np.mean(distances) == pytest.approx(0.1, rel=0.15)
