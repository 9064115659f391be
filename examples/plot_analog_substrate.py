"""
==========================================
A network that the learner cannot look into
==========================================

Trains digits on a simulated analog chip. Each of its weights is off by a fixed random factor that
nobody knows, holds 6 bits, and every state is noisy at every moment. The learner sees none of it:
it lets the chip settle, lets it settle once more while its outputs are pushed, and asks what
each synapse measured. Run it with ``python examples/plot_analog_substrate.py``; it takes about
twenty seconds on one core and writes ``analog_substrate.png`` into the current folder.

Weights that an ideal network has learned lose accuracy when they are copied onto such a chip,
the more the less its synapses match. A network trained on the chip itself does not: what the
chip settles to, wrong weights included, is what its learning rule measures.

A step of Adam is far smaller than the distance between two of the levels that 6 bits allow; rounded
to the nearest one it is lost, and nothing is learned. So updates are added up in full precision
beside the chip, and a synapse changes when its sum has come nearer to another level, as is done
with phase-change memory (Nandakumar et al. 2017, arXiv:1712.01192). Stochastic rounding
would do without the sums, at the price of a random draw for every synapse in every update; Adam
keeps two numbers a synapse beside the chip in any case. The last part of the output compares.
"""

import copy
import time
from functools import partial

import matplotlib

matplotlib.use("Agg")  # draws into a file, needs no screen

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.ticker import PercentFormatter
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from sklearn.preprocessing import StandardScaler
from threadpoolctl import threadpool_limits

from sklearn_eqprop import EqPropClassifier
from sklearn_eqprop.backend import NumpyBackend
from sklearn_eqprop.learning import (
    NUDGINGS,
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
from sklearn_eqprop.network import LoopGainGuard, initial_weights, layered_wiring, wired_network
from sklearn_eqprop.relaxation import Result

HIDDEN = 16
BITS = 6
NOISE = 0.1  # standard deviation of what is added to every state in every step
MISMATCHES = (0.1, 0.2, 0.4)  # standard deviation of a weight's random factor
N_CHIPS = 4
EPOCHS = 30
BATCH_SIZE = 100
LEARNING_RATE = 0.003
LOOP_GAIN = 0.9  # so that feedback is a real part of the dynamics
BETA = 1.5
PICTURE = "analog_substrate.png"

network_of = partial(wired_network, layered_wiring(2), activation="relu", backend=NumpyBackend())


class AnalogChip:
    """One hidden layer in noisy analog hardware; a `Substrate`, and nothing but its two verbs.

    Parameters
    ----------
    record : Network
        What the learner has set the parameters to; read, rounded, whenever the chip settles.
    ranges : list of float
        Largest weight each block of parameters can hold.
    mismatch : float
        Standard deviation of the factor by which each weight is off, around 1.
    seed : int
        Of the chip: its mismatch and its noise.
    storage : {'accumulator', 'nearest', 'stochastic'}
        Whether the record keeps full precision, or is itself rounded after every update.
    """

    free_steps, nudged_steps, read_steps, step_size = 20, 12, 4, 0.5

    def __init__(self, record, ranges, mismatch, seed, storage="accumulator"):
        self._rng = np.random.default_rng(seed)
        self._blocks = [parameter.array for parameter in record.parameters()]
        self._ranges = ranges
        self._factors = [1 + mismatch * self._rng.standard_normal(b.shape) for b in self._blocks]
        self._storage = storage

    def settle(self, inputs):
        """Free phase, from rest."""
        self._read_record()
        F1, _, _, b1, b2 = self._weights
        self._input_drive = inputs @ F1 + b1
        rest = np.zeros_like(self._input_drive), np.zeros((len(inputs), len(b2)))
        states, self._momentary = self._run(rest, self.free_steps, push=None)
        return FreePhase(inputs, self._result(states, self.free_steps))

    def settle_nudged(self, free, cost, target, strengths):
        """The chip goes on from where it is, its outputs pushed; back to there, pushed again."""
        results = []
        for beta in strengths:
            states, _ = self._run(
                self._momentary,
                self.nudged_steps,
                push=lambda output, beta=beta: beta * cost.force(np, output, target),
            )
            moved = [s - s0 for s, s0 in zip(states, free.result.states, strict=True)]
            results.append(self._result(moved, self.nudged_steps))
        return results

    def local_change(self, free, deltas):
        """Each synapse multiplies what it has seen on its two sides."""
        hidden, output = free.result.states
        weights = free.inputs.T @ deltas[0], hidden.T @ deltas[1], output.T @ deltas[0]
        return [*weights, *(delta.sum(axis=0) for delta in deltas)]

    def _read_record(self):
        """Weights as the chip has them: on one of 2^BITS - 1 levels, times their own factor."""
        self._weights = []
        for block, largest, factors in zip(self._blocks, self._ranges, self._factors, strict=True):
            gap = largest / (2 ** (BITS - 1) - 1)
            shift = self._rng.random(block.shape) if self._storage == "stochastic" else 0.5
            levels = gap * np.floor(np.clip(block, -largest, largest) / gap + shift)
            if self._storage != "accumulator":
                block[...] = levels
            self._weights.append(levels * factors)

    def _run(self, start, n_steps, push):
        """Noisy Euler steps; the mean of the last states, and the momentary ones."""
        _, F2, B, _, b2 = self._weights
        hidden, output = start
        sums = [0.0, 0.0]
        for step in range(n_steps):
            to_hidden = self._input_drive + output @ B - hidden
            to_output = hidden @ F2 + b2 - output
            if push is not None:
                to_output += push(output)
            hidden = np.maximum(hidden + self.step_size * to_hidden + self._noise(hidden), 0)
            output = output + self.step_size * to_output + self._noise(output)
            if step >= n_steps - self.read_steps:
                sums = [sums[0] + hidden, sums[1] + output]
        return [total / self.read_steps for total in sums], (hidden, output)

    def _noise(self, states):
        return NOISE * self._rng.standard_normal(states.shape)

    @staticmethod
    def _result(states, n_steps):
        """A noisy system has no residual to report: it runs for its time, and that is it."""
        n = len(states[0])
        return Result(states, np.full(n, n_steps), np.zeros(n), np.ones(n, bool))


def untrained_network(n_inputs, n_outputs, seed):
    """A record to start from: the weights that an estimator of the package starts from."""
    weights = initial_weights(
        (n_inputs, HIDDEN, n_outputs),
        layered_wiring(2),
        feedback_init="transpose",
        feedback_scale=0.3,
        rng=np.random.RandomState(seed),
        dtype=np.float64,
    )
    return network_of(*weights)


def train(substrate, record, X, y, n_epochs, seed):
    """Train any substrate; the learner's own record of the parameters is changed in place."""
    feedback_learning = "kolen_pollack"
    trainer = Trainer(
        substrate,
        record,
        VectorFieldRule(NUDGINGS["centered"], BETA),
        LogLoss(),
        Adam(trained_parameters(record, feedback_learning), np),
        LoopGainGuard(record, LOOP_GAIN),
        LearningSettings((LEARNING_RATE, LEARNING_RATE), 1e-4, feedback_learning, True),
    )
    data = TrainingData(X, np.eye(y.max() + 1)[y], None, len(X))
    rng = np.random.RandomState(seed)
    for epoch in range(n_epochs):
        run_epoch(
            trainer,
            data,
            batch_size=BATCH_SIZE,
            rate_factor=0.5 + 0.5 * np.cos(np.pi * epoch / n_epochs),
            shuffle_rng=rng,
            nudging_rng=rng,
            beta=BETA,
        )


def accuracy(substrate, X, y):
    return float(np.mean(substrate.settle(X).result.states[-1].argmax(axis=1) == y))


def load_standardised():
    X, y = load_digits(return_X_y=True)
    X_train, X_test, y_train, y_test = train_test_split(
        X, y, test_size=0.25, stratify=y, random_state=0
    )
    scaler = StandardScaler().fit(X_train)
    return scaler.transform(X_train), scaler.transform(X_test), y_train, y_test


def ideal_networks(split, n_epochs, n_networks):
    """Networks without any fault, from the package's estimator: their accuracies and weights."""
    X_train, X_test, y_train, y_test = split
    settings = {"loop_gain": LOOP_GAIN, "learning_rate_init": LEARNING_RATE, "max_iter": n_epochs}
    settings |= {"learning_rate": "cosine", "max_relax_iter": 1000}
    accuracies, records = [], []
    for seed in range(n_networks):
        model = EqPropClassifier(HIDDEN, random_state=seed, **settings).fit(X_train, y_train)
        accuracies.append(model.score(X_test, y_test))
        records.append(network_of(model.coefs_, model.intercepts_, model.feedback_coefs_))
    return accuracies, records


def compare(mismatch, records, split, n_epochs, storage="accumulator"):
    """Test accuracies of one chip for each network: its weights copied, and trained in place."""
    X_train, X_test, y_train, y_test = split
    copied, in_place = [], []
    for seed, record in enumerate(records):
        # Every block may use its 6 bits for just the range that the ideal weights need.
        ranges = [np.abs(parameter.array).max() for parameter in record.parameters()]
        chip = AnalogChip(copy.deepcopy(record), ranges, mismatch, seed, storage)
        copied.append(accuracy(chip, X_test, y_test))
        own = untrained_network(X_train.shape[1], y_train.max() + 1, seed)
        chip = AnalogChip(own, ranges, mismatch, seed, storage)
        train(chip, own, X_train, y_train, n_epochs, seed)
        in_place.append(accuracy(chip, X_test, y_test))
    return copied, in_place


def draw(ideal, copied, in_place):
    """Accuracy of every chip over its mismatch; lines through the means."""
    figure, ax = plt.subplots(figsize=(7.5, 5), layout="constrained")
    ax.axhline(100 * np.mean(ideal), color="black", linestyle="--", label="ideal networks")
    for scores, name, marker in (
        (in_place, "trained in place, on the chips", "o"),
        (copied, "weights copied from the ideal networks", "s"),
    ):
        percent = 100 * np.array(scores)
        (line,) = ax.plot(MISMATCHES, percent.mean(axis=1), label=name)
        every = np.repeat(MISMATCHES, percent.shape[1])
        ax.plot(every, percent.ravel(), marker, color=line.get_color(), alpha=0.5)
    ax.set(
        xlabel="mismatch of the weights (standard deviation of their random factors)",
        ylabel="test accuracy (%)",
        title=f"Digits on {len(ideal)} noisy chips with {BITS}-bit weights; lines: means",
        xticks=MISMATCHES,
    )
    ax.xaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
    ax.grid(alpha=0.3)
    ax.legend(loc="lower left")
    figure.savefig(PICTURE, dpi=120)
    plt.close(figure)


def row(name, scores):
    cells = " ".join(f"{100 * score:6.1f}" for score in scores)
    print(f"{name:32} {cells}   mean {100 * np.mean(scores):.1f}", flush=True)


def main(n_epochs=EPOCHS, n_chips=N_CHIPS):
    begin = time.perf_counter()
    split = load_standardised()
    print(f"Test accuracy in %, {n_chips} networks of {HIDDEN} hidden units:\n")
    ideal, records = ideal_networks(split, n_epochs, n_chips)
    row("ideal", ideal)
    copied, in_place = [], []
    for mismatch in MISMATCHES:
        of_copies, of_trained = compare(mismatch, records, split, n_epochs)
        row(f"mismatch {mismatch:.0%}, copied", of_copies)
        row(f"mismatch {mismatch:.0%}, trained in place", of_trained)
        copied.append(of_copies)
        in_place.append(of_trained)
    draw(ideal, copied, in_place)
    print(f"\nPicture: {PICTURE}")

    print(f"\nTrained in place, mismatch {MISMATCHES[0]:.0%}, updates not added up elsewhere:\n")
    for storage in ("nearest", "stochastic"):
        _, of_trained = compare(MISMATCHES[0], records[:1], split, n_epochs, storage)
        row(f"{storage} rounding", of_trained)
    print(f"\nDone in {time.perf_counter() - begin:.0f} s.")


if __name__ == "__main__":
    # Products this small are no faster on several threads.
    with threadpool_limits(1):
        main()
