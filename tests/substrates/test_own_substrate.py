"""The seam: a learner trains what it cannot look into, by settle and local change alone."""

import numpy as np
import pytest
from scipy import sparse
from sklearn.datasets import load_digits

from sklearn_eqprop._backend import NumpyBackend
from sklearn_eqprop._network import LoopGainGuard, initial_weights, layered_wiring, wired_network
from sklearn_eqprop._relaxation import Result
from sklearn_eqprop.learning import (
    FEEDBACK_WAYS,
    NUDGINGS,
    SGD,
    Adam,
    FreePhase,
    LearningSettings,
    LogLoss,
    Trainer,
    TrainingData,
    VectorFieldRule,
    run_epoch,
    trained_parameters,
)
from tests.dense_truth import random_net, random_task
from tests.engine import LOSSES, network_of

SIZES = (4, 6, 5, 3)
VERBS = {"settle", "settle_nudged", "local_change"}
#: What a substrate may have, and what these do not.
OPTIONAL = {"reads_sparse", "take_update"}
#: Largest weight of F_1, F_2, B_1, b_1, b_2 of the chip below.
RANGES = (1.0, 2.0, 2.0, 1.0, 1.0)
FAULTY = {"mismatch": 0.3, "noise": 0.1, "bits": 6}
IDEAL = {"mismatch": 0.0, "noise": 0.0, "bits": 30}


class Watched:
    """Passes on whatever is asked for, and notes its name."""

    def __init__(self, substrate):
        self._substrate = substrate
        self.asked_for = set()

    def __getattr__(self, name):
        self.asked_for.add(name)
        return getattr(self._substrate, name)


def _result(states):
    n_samples = states[0].shape[0]
    return Result(states, np.full(n_samples, 20), np.zeros(n_samples), np.ones(n_samples, bool))


class DenseSystem:
    """A substrate made of the tests' own dense network; its weights are not the record's."""

    def __init__(self, net, loss):
        self._net, self._loss = net, loss

    def settle(self, inputs):
        return FreePhase(inputs, _result(self._net.split(self._net.equilibrium(inputs))))

    def settle_nudged(self, free, loss, target, strengths):
        assert loss is LOSSES[self._loss]
        rest = np.concatenate(free.result.states, axis=1)
        nudged = [
            self._net.equilibrium(free.inputs, self._loss, target, beta, rest) for beta in strengths
        ]
        return [_result(self._net.split(S - rest)) for S in nudged]

    def local_change(self, free, deltas):
        moved = np.concatenate(deltas, axis=1)
        states = np.concatenate(free.result.states, axis=1)
        theta = sum(
            delta @ self._net.dmu_dtheta(s, x)
            for delta, s, x in zip(moved, states, free.inputs, strict=True)
        )
        return self._net.with_theta(theta).blocks()


@pytest.mark.parametrize("loss", LOSSES)
def test_a_step_follows_the_system_that_settles_not_the_record(loss):
    # The record holds other weights than the system; the step is ν of the system (Theorem 1).
    net, record = random_net(SIZES, "tanh"), network_of(random_net(SIZES, "tanh", seed=1))
    X, Y = random_task(3, SIZES, loss)
    before = [parameter.array.copy() for parameter in record.parameters()]
    system, way = Watched(DenseSystem(net, loss)), FEEDBACK_WAYS["local"]()
    trainer = Trainer(
        system,
        record,
        VectorFieldRule(NUDGINGS["centered"], 1e-4),
        LOSSES[loss],
        SGD(trained_parameters(record, way), record.backend),
        None,
        LearningSettings((0.1, 0.2, 0.3), 0.0, way, layerwise_rescale=False),
    )
    trainer.train_on(X, Y, None, 1.0, np.random.RandomState(0))
    assert system.asked_for - OPTIONAL == VERBS
    nu = net.with_theta(net.theorem_1(X, loss, Y, np.full(3, 1 / 3))).blocks()
    for parameter, old, block in zip(record.parameters(), before, nu, strict=True):
        rate = 0.1 * parameter.layer
        assert np.abs(parameter.array - old - rate * block).max() < 1e-7


class Chip:
    """One hidden layer: noisy Euler steps, few-bit weights, each off by a fixed random factor."""

    def __init__(self, record, *, mismatch, noise, bits, seed=0):
        self._rng = np.random.default_rng(seed)
        self._blocks = [parameter.array for parameter in record.parameters()]
        self._top = 2 ** (bits - 1) - 1
        self._gaps = [largest / self._top for largest in RANGES]
        self._factors = [1 + mismatch * self._rng.standard_normal(b.shape) for b in self._blocks]
        self._noise = noise

    def settle(self, inputs):
        self._weights = [
            factors * gap * np.clip(np.round(block / gap), -self._top, self._top)
            for factors, gap, block in zip(self._factors, self._gaps, self._blocks, strict=True)
        ]
        F1, _, _, b1, b2 = self._weights
        self._drive = inputs @ F1 + b1
        rest = [np.zeros_like(self._drive), np.zeros((len(inputs), b2.size))]
        return FreePhase(inputs, _result(self._run(rest, 20)))

    def settle_nudged(self, free, loss, target, strengths):
        results = []
        for beta in strengths:
            states = self._run(
                free.result.states, 12, lambda o, beta=beta: beta * loss.force(np, o, target)
            )
            moved = [s - s0 for s, s0 in zip(states, free.result.states, strict=True)]
            results.append(_result(moved))
        return results

    def local_change(self, free, deltas):
        hidden, output = free.result.states
        weights = [free.inputs.T @ deltas[0], hidden.T @ deltas[1], output.T @ deltas[0]]
        return [*weights, *(delta.sum(axis=0) for delta in deltas)]

    def _run(self, states, n_steps, push=np.zeros_like):
        hidden, output = states
        _, F2, B, _, b2 = self._weights
        for _ in range(n_steps):
            from_hidden = hidden @ F2 + b2 + push(output)
            hidden = np.maximum(self._step(hidden, self._drive + output @ B), 0)
            output = self._step(output, from_hidden)
        return [hidden, output]

    def _step(self, state, target):
        return 0.5 * (state + target) + self._noise * self._rng.standard_normal(state.shape)


def _accuracy(chip, X, y):
    return np.mean(chip.settle(X).result.states[-1].argmax(axis=1) == y)


def _trained(X, y, feedback_learning="kolen_pollack", **faults):
    """A chip and the record it was trained with."""
    weights = initial_weights(
        (64, 16, 10),
        layered_wiring(2),
        feedback_init="transpose",
        feedback_scale=0.3,
        rng=np.random.RandomState(0),
        dtype=np.float64,
    )
    record = wired_network(layered_wiring(2), *weights, activation="relu", backend=NumpyBackend())
    chip, way = Watched(Chip(record, **faults)), FEEDBACK_WAYS[feedback_learning]()
    trainer = Trainer(
        chip,
        record,
        VectorFieldRule(NUDGINGS["centered"], 1.5),
        LogLoss(),
        Adam(trained_parameters(record, way), record.backend),
        LoopGainGuard(record, 0.9),
        LearningSettings((0.005, 0.005), 1e-4, way, layerwise_rescale=True),
    )
    data = TrainingData(X, np.eye(10)[y], None, X.shape[0])
    rng = np.random.RandomState(1)
    for epoch in range(20):
        summary = run_epoch(
            trainer,
            data,
            batch_size=100,
            rate_factor=1 - epoch / 20,
            shuffle_rng=rng,
            nudging_rng=rng,
            beta=1.5,
        )
    assert summary.free_steps == 20
    assert chip.asked_for - OPTIONAL == VERBS
    return chip, record


def _digits():
    X, y = load_digits(return_X_y=True)
    X = (X - X.mean()) / X.std()
    return (X[:1200], y[:1200]), (X[1200:], y[1200:])


@pytest.mark.parametrize("feedback_learning", ["local", "fixed"])
def test_a_noisy_mismatched_quantised_chip_learns_digits(feedback_learning):
    train, test = _digits()
    chip, record = _trained(*train, feedback_learning, **FAULTY)
    assert _accuracy(chip, *test) > 0.85
    # The weights were learned for this chip: they are worth less on another.
    assert _accuracy(Chip(record, **FAULTY, seed=1), *test) < _accuracy(chip, *test) - 0.05


def test_learning_in_place_beats_copying_what_an_ideal_network_has_learned():
    train, test = _digits()
    ideal, learned = _trained(*train, **IDEAL)
    in_place, _ = _trained(*train, **FAULTY)
    accuracies = [_accuracy(chip, *test) for chip in (ideal, in_place, Chip(learned, **FAULTY))]
    assert accuracies[1] > accuracies[0] - 0.02
    assert accuracies[2] < accuracies[0] - 0.04


def test_inputs_come_dense_where_a_substrate_does_not_say_that_it_reads_sparse_ones():
    X, y = sparse.random(200, 64, density=0.03, format="csr", random_state=0), np.arange(200) % 10
    (_, record), (_, same) = _trained(X, y, **FAULTY), _trained(X.toarray(), y, **FAULTY)
    for one, other in zip(record.parameters(), same.parameters(), strict=True):
        np.testing.assert_array_equal(one.array, other.array)
