"""Stopping: true residuals, per sample, whatever else shares the batch."""

import numpy as np
import pytest

from sklearn_eqprop._relaxation import RELAXATIONS, FreeField, Result, SettleOptions
from tests.dense_graph import GraphNet, random_graph_net
from tests.dense_truth import DenseNet, random_net, random_task
from tests.engine import LOSSES, METHODS, joined, network_of, nudged_phases, settle, substrate_of

SIZES = (4, 6, 5, 4, 3)
#: What products of another shape may round differently, amplified by settling.
ROUNDING = 1e-12


def _net(activation="tanh", **kwargs):
    return random_net(SIZES, activation, **{"gain": 0.9, "loop": 0.6, **kwargs})


def _nudged(net, X, Y, method, tolerance, *, loss="log_loss", beta=0.4):
    """Nudged result from the exact free fixed point, so that both phases are rows' own."""
    free = substrate_of(net, tolerance=1e-14).settle(X)
    substrate = substrate_of(net, method, tolerance=tolerance)
    [result] = nudged_phases(substrate, free, LOSSES[loss], Y, (beta,))
    return result


@pytest.mark.parametrize("max_iter", [1, 2, 3, 6])
@pytest.mark.parametrize("step_size", [1.0, 0.5])
@pytest.mark.parametrize("method", METHODS)
def test_residual_at_the_limit_is_the_true_one(method, step_size, max_iter):
    for depth in range(5):
        sizes = (*(*SIZES, 4)[: depth + 1], 3)
        for activation in ("hard_sigmoid", "tanh"):
            net = random_net(sizes, activation, gain=0.9, loop=0.6, seed=depth)
            X, Y = random_task(5, sizes, "log_loss")
            start = [np.full((5, size), 0.3) for size in sizes[1:]]
            options = {"step_size": step_size, "tolerance": 1e-300, "max_iter": max_iter}
            free = settle(net, X, method, start=start, **options)
            truth = net.residual(joined(free.states), X)
            assert np.abs(free.residual - truth).max() < 1e-14
            assert np.array_equal(free.converged, truth <= 1e-300)
            assert free.n_steps.max() <= max_iter

            substrate = substrate_of(net, method, **options)
            [nudged] = nudged_phases(substrate, substrate.settle(X), LOSSES["log_loss"], Y, (-0.3,))
            truth = net.residual(joined(nudged.states), X, "log_loss", Y, -0.3)
            assert np.abs(nudged.residual - truth).max() < 1e-14


@pytest.mark.parametrize("method", METHODS)
def test_reaching_max_iter_is_reported(method):
    net = _net()
    X, _ = random_task(5, SIZES)
    result = settle(net, X, method, tolerance=1e-12, max_iter=4)
    assert not result.converged.any()
    assert np.array_equal(result.n_steps, np.full(5, 4))
    assert result.residual.min() > 1e-12
    assert np.abs(result.residual - net.residual(joined(result.states), X)).max() < 1e-14
    assert "5 of 5 samples had not settled after 4 steps" in result.reason
    assert "max_relax_iter" in result.reason


@pytest.mark.parametrize("method", METHODS)
def test_settled_in_time_is_reported(method):
    X, _ = random_task(5, SIZES)
    result = settle(_net(), X, method, tolerance=1e-6)
    assert result.converged.all()
    assert (result.residual <= 1e-6).all()
    assert result.n_steps.min() >= 2
    assert result.n_steps.max() < 100
    assert result.reason == f"All 5 samples settled within {result.n_steps.max()} steps."


@pytest.mark.parametrize("method", METHODS)
def test_a_start_at_the_fixed_point_stays_there(method):
    net = _net()
    X, _ = random_task(5, SIZES)
    start = net.split(net.equilibrium(X))
    result = settle(net, X, method, tolerance=1e-12, start=start)
    at_most = 2 if method == "gauss_seidel" else 0  # it sweeps before it looks
    assert (result.n_steps <= at_most).all()
    assert np.abs(joined(result.states) - joined(start)).max() < 1e-14


def test_reason_names_the_worst_that_happened():
    steps = np.array([3, 9])
    broken = Result([], steps, np.array([0.1, np.nan]), np.array([True, False])).reason
    assert "1 of 2 samples" in broken
    assert "finite" in broken


@pytest.mark.parametrize("activation", ["hard_sigmoid", "relu", "tanh"])
@pytest.mark.parametrize("method", METHODS)
def test_a_sample_alone_in_a_batch_and_in_any_order(method, activation):
    # At a loose tolerance, where stopping at any other step would show.
    net, tolerance = _net(activation), 1e-5
    X, Y = random_task(12, SIZES, "log_loss")
    X *= np.linspace(0.02, 4, 12)[:, None]
    order = np.random.RandomState(3).permutation(12)

    def phases(rows):
        free = settle(net, X[rows], method, tolerance=tolerance)
        return free, _nudged(net, X[rows], Y[rows], method, tolerance)

    for together, shuffled, alone in zip(
        phases(slice(None)), phases(order), zip(*(phases([row]) for row in range(12)), strict=True),
        strict=True,
    ):  # fmt: skip
        assert np.unique(together.n_steps).size > 1
        assert np.array_equal(together.n_steps[order], shuffled.n_steps)
        assert np.array_equal(together.n_steps, [one.n_steps[0] for one in alone])
        states = joined(together.states)
        assert np.abs(states[order] - joined(shuffled.states)).max() < ROUNDING
        assert np.abs(states - np.vstack([joined(one.states) for one in alone])).max() < ROUNDING
        assert np.abs(together.residual - [one.residual[0] for one in alone]).max() < ROUNDING


@pytest.mark.parametrize("method", METHODS)
def test_settled_samples_are_not_touched_while_others_go_on(method):
    # One row is held to a tolerance a million times tighter than the others.
    net = _net()
    X, _ = random_task(6, SIZES)
    network = network_of(net)
    field = FreeField(network, network.clamp(X), 6)
    tolerance = np.full(6, 1e-2)
    tolerance[2] = 1e-10
    mixed = RELAXATIONS[method](1.0).settle(field, network.zero_states(6), tolerance, 500)
    loose = settle(net, X, method, tolerance=1e-2)
    others = np.arange(6) != 2
    assert mixed.n_steps[2] > 1.5 * mixed.n_steps[others].max()
    assert np.array_equal(mixed.n_steps[others], loose.n_steps[others])
    drift = np.abs(joined(mixed.states) - joined(loose.states))[others]
    assert drift.max() < ROUNDING
    # Had they gone on they would be elsewhere:
    unfinished = np.abs(joined(mixed.states) - net.equilibrium(X))
    assert unfinished[others].max(axis=1).min() > 1e-4
    assert unfinished[2].max() < 1e-8


@pytest.mark.parametrize("phase", ["free", "nudged"])
@pytest.mark.parametrize("bad", [np.nan, np.inf], ids=["nan", "inf"])
@pytest.mark.parametrize("activation", ["tanh", "relu"])
@pytest.mark.parametrize("method", METHODS)
def test_rows_that_are_not_finite_retire_at_once_and_alone(method, activation, bad, phase):
    net = _net(activation)
    X, Y = random_task(5, SIZES, "log_loss")

    def run():
        if phase == "free":
            return settle(net, X, method)
        return _nudged(net, X, Y, method, 1e-12)

    clean = run()
    X[3, 1] = bad
    with np.errstate(invalid="ignore"):
        dirty = run()
    others = np.arange(5) != 3
    assert dirty.n_steps[3] <= 2
    assert not dirty.converged[3]
    assert not np.isfinite(dirty.residual[3])
    assert "1 of 5 samples" in dirty.reason
    assert np.array_equal(dirty.n_steps[others], clean.n_steps[others])
    assert dirty.converged[others].all()
    difference = np.abs(joined(dirty.states) - joined(clean.states))[others]
    assert difference.max() < ROUNDING


@pytest.mark.parametrize("activation", ["tanh", "hard_sigmoid"])
@pytest.mark.parametrize("method", METHODS)
def test_an_overflowing_input_is_never_called_settled(method, activation):
    # Tolerance is relative to the drive, but infinite drive must not mean infinite tolerance.
    # A hard sigmoid clips even that drive, so it may settle; then truly.
    net = _net(activation)
    X, _ = random_task(3, SIZES)
    X[1, 0] = np.inf
    with np.errstate(invalid="ignore"):
        result = substrate_of(net, method, tolerance=1e-6).settle(X).result
        residual = net.residual(joined(result.states), X)
    assert result.converged[[0, 2]].all()
    assert not result.converged[1] or residual[1] <= 1e-6
    if activation == "tanh":
        assert not result.converged[1]


@pytest.mark.parametrize("activation", ["hard_sigmoid", "tanh", "logistic"])
@pytest.mark.parametrize("method", METHODS)
def test_large_inputs_do_not_excuse_the_layers_behind(method, activation):
    # Rates are bounded: what rounds coarsely in the first layer is of no account in the others.
    net = _net(activation)
    X, Y = random_task(40, SIZES, "log_loss")
    X[:, 0] *= 1e6
    arrays = [[np.float32(block) for block in part] for part in (net.coefs, net.biases)]
    feedback = [np.float32(block) for block in net.feedback]
    narrow = DenseNet(activation, *arrays, feedback)
    substrate = substrate_of(narrow, method, step_size=0.7, tolerance=5e-6, max_iter=200)
    free = substrate.settle(np.float32(X))
    [nudged] = nudged_phases(substrate, free, LOSSES["log_loss"], np.float32(Y), (0.4,))
    behind = slice(SIZES[1], None)
    with np.errstate(over="ignore"):  # slopes of the truth
        truths = [net.equilibrium(X), net.equilibrium(X, "log_loss", Y, 0.4)]
    for result, truth in zip((free.result, nudged), truths, strict=True):
        assert result.converged.all()
        assert np.abs(joined(result.states) - truth)[:, behind].max() < 1e-3


@pytest.mark.parametrize("method", METHODS)
def test_an_output_that_the_input_drives_carries_large_numbers_on(method):
    graph = [(0, 1), (1, 2), (2, 3), (0, 3), (3, 2), (2, 1)]
    net = random_graph_net(graph, "tanh", strength=0.4)
    X = np.float32(1e6 * random_task(40, (4, 5, 6, 3))[0])
    arrays = [[np.float32(block) for block in part] for part in (net.coefs, net.biases)]
    narrow = GraphNet("tanh", graph, *arrays, [np.float32(block) for block in net.feedback])
    substrate = substrate_of(narrow, method, step_size=0.5, tolerance=5e-6, max_iter=300)
    assert substrate.settle(X).result.converged.all()


def test_looking_ahead():
    # Feedback as the default safeguard leaves it carries outputs further: a second sweep that
    # starts from where it will take them ends nearer to the equilibrium.
    net = random_net((4, 8, 3), "relu", gain=0.9, loop=0.6)
    strength = 0.2 / np.linalg.norm(net.coefs[1], 2) ** 2
    net = DenseNet("relu", net.coefs, net.biases, [strength * net.coefs[1].T])
    X, _ = random_task(20, (4, 8, 3))
    network = network_of(net)
    ends = {}
    for lead in (None, 0.1):
        field = FreeField(network, network.clamp(X), 20)
        options = SettleOptions(lead=lead)
        results = [
            RELAXATIONS["gauss_seidel"](1.0).settle(
                field, None, np.full(20, 1e-8), most, options=options
            )
            for most in (1, 2, 500)
        ]
        for result in results:
            truth = net.residual(joined(result.states), X)
            assert np.abs(result.residual - truth).max() < ROUNDING
        assert results[-1].converged.all()
        assert np.abs(joined(results[-1].states) - net.equilibrium(X)).max() < 1e-7
        ends[lead] = results
    # Where it may not go on it is the feedforward pass and no more.
    assert np.array_equal(joined(ends[None][0].states), joined(ends[0.1][0].states))
    assert ends[0.1][1].residual.mean() < 0.7 * ends[None][1].residual.mean()
