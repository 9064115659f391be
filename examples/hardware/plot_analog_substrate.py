"""
================================================
Train a chip whose faults the learner cannot see
================================================

This example trains digits on a simulated analog chip. Its synapses, units and states have faults
that the learner does not see. It lets the chip settle, lets it settle again while its outputs are
pushed, and asks each synapse for its measurement.

``python examples/hardware/plot_analog_substrate.py`` takes about fifty seconds of one core and
writes ``analog_substrate.png`` into the current folder. ``--chips 16`` reduces the standard errors.
"""

# %%
# The question
# ------------
#
# The faults of a chip (:doc:`analog_chip`):
#
# * each synapse has a fixed random factor;
# * each unit has a fixed random offset and slope;
# * weights have 6 bits, and every state is noisy in every step.
#
# There are two ways to use such a chip. One trains an ideal network on a computer, and copies its
# weights onto the chip. The other trains the chip in place. The learning rule measures the states
# that the chip really reaches, faults included, so it can correct them.
#
# Training with real chips in the loop compensates their faults as well: Schmitt et al. 2017
# (arXiv:1703.01909), Weis et al. 2020 (arXiv:2006.13177), the latter with 6-bit weights.

import argparse
import time
from functools import partial
from itertools import product
from typing import NamedTuple

import matplotlib.pyplot as plt
import numpy as np
from analog_chip import AnalogChip, Faults, Scales
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from sklearn.preprocessing import StandardScaler
from threadpoolctl import threadpool_limits

from sklearn_eqprop.learning import (
    FEEDBACK_WAYS,
    NUDGINGS,
    Adam,
    LearningSettings,
    LogLoss,
    LoopGainGuard,
    NumpyBackend,
    Trainer,
    TrainingData,
    VectorFieldRule,
    initial_weights,
    layered_wiring,
    run_epoch,
    trained_parameters,
    wired_network,
)

HIDDEN = 16
LOOP_GAIN = 0.9  # large, so that feedback matters for the dynamics
BATCH_SIZE = 100
MISMATCHES = (0.05, 0.1, 0.2, 0.4)  # the same for synapses, offsets and slopes
MISMATCH = 0.1  # for the parts that use only one
N_CHIPS = 6
PICTURE = "analog_substrate.png"

network_of = partial(wired_network, layered_wiring(2), activation="relu", backend=NumpyBackend())


class Recipe(NamedTuple):
    """How a network is trained, on an ideal or a faulty chip; chosen by `validate`."""

    beta: float = 1.5
    learning_rate: float = 0.006
    n_epochs: int = 30


RECIPE = Recipe()


NOISY = Faults(noise=0.1, bits=6)


# %%
# The learner
# -----------
#
# It is the package's own: the vector field, centred nudging, Kolen-Pollack feedback and Adam. Only
# the simulated network is replaced by the chip.


def untrained_network(n_inputs, n_outputs, seed):
    """Return a record with the initial weights of the package's estimators."""
    weights = initial_weights(
        (n_inputs, HIDDEN, n_outputs),
        layered_wiring(2),
        feedback_init="transpose",
        feedback_scale=0.3,
        rng=np.random.RandomState(seed),
        dtype=np.float64,
    )
    return network_of(*weights)


def train(substrate, record, X, y, recipe, seed):
    """Train any substrate. The learner's record of the parameters is changed in place."""
    feedback_learning = FEEDBACK_WAYS["kolen_pollack"]()
    trainer = Trainer(
        substrate,
        record,
        VectorFieldRule(NUDGINGS["centered"], recipe.beta),
        LogLoss(),
        Adam(trained_parameters(record, feedback_learning), record.backend),
        LoopGainGuard(record, LOOP_GAIN),
        LearningSettings((recipe.learning_rate,) * 2, 1e-4, feedback_learning, True),
    )
    data = TrainingData(X, np.eye(y.max() + 1)[y], None, len(X))
    rng = np.random.RandomState(seed)
    for epoch in range(recipe.n_epochs):
        run_epoch(
            trainer,
            data,
            batch_size=BATCH_SIZE,
            rate_factor=0.5 + 0.5 * np.cos(np.pi * epoch / recipe.n_epochs),
            shuffle_rng=rng,
            nudging_rng=rng,
            beta=recipe.beta,
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


# %%
# Ideal networks, copies and chips trained in place
# -------------------------------------------------
#
# The same recipe trains ideal networks, on chips without faults. Offsets are relative to the
# standard deviation of the states in their layer, about a fifth of the largest state. This favours
# the copies.


class Ideal(NamedTuple):
    """A network that was trained on a chip without faults, and its sizes."""

    accuracy: float
    record: object
    scales: Scales
    largest_states: tuple[float, float]


def trained_on_chip(scales, faults, split, recipe, seed, storage="accumulator"):
    """Train a chip from an untrained network; return the chip and its record."""
    X_train, _, y_train, _ = split
    record = untrained_network(X_train.shape[1], y_train.max() + 1, seed)
    chip = AnalogChip(record, scales, faults, seed, storage)
    train(chip, record, X_train, y_train, recipe, seed)
    return chip, record


def ideal_networks(split, recipe, n_networks):
    X_train, X_test, _, y_test = split
    networks = []
    for seed in range(n_networks):
        chip, record = trained_on_chip(Scales(), Faults(), split, recipe, seed)
        states = chip.settle(X_train).result.states
        largest_weights = tuple(np.abs(parameter.array).max() for parameter in record.parameters())
        scales = Scales(largest_weights, tuple(s.std() for s in states))
        largest_states = tuple(np.abs(s).max() for s in states)
        score = accuracy(chip, X_test, y_test)
        networks.append(Ideal(score, record, scales, largest_states))
    return networks


def copied(networks, faults, split):
    """Return the test accuracies of ideal weights, copied onto one chip per network."""
    _, X_test, _, y_test = split
    return [
        accuracy(AnalogChip(network.record, network.scales, faults, seed), X_test, y_test)
        for seed, network in enumerate(networks)
    ]


def in_place(networks, faults, split, recipe, storage="accumulator"):
    """Return the test accuracies of the same chips, trained from the start instead."""
    _, X_test, _, y_test = split
    scores = []
    for seed, network in enumerate(networks):
        chip, _ = trained_on_chip(network.scales, faults, split, recipe, seed, storage)
        scores.append(accuracy(chip, X_test, y_test))
    return scores


def mismatched(level):
    return NOISY._replace(synapses=level, offsets=level, slopes=level)


def ideal_accuracies(networks):
    return np.array([network.accuracy for network in networks])


def standard_error(scores):
    return np.std(scores, axis=-1, ddof=1) / np.sqrt(np.shape(scores)[-1])


# %%
# Tables and a picture
# --------------------
#
#


def draw(ideal, of_copies, of_trained):
    """Draw the test error of every chip over its mismatch, with lines through the means."""
    figure, ax = plt.subplots(figsize=(7.5, 5), layout="constrained")
    level = 100 * (1 - np.mean(ideal))
    ax.axhline(level, color="black", linestyle="--", label="ideal networks: no faults, same recipe")
    ax.axhspan(level, level + 2, color="black", alpha=0.08, label="up to 2 points more")
    # Side by side, so that neither hides the other.
    draw_chips(ax, 0.97, of_copies, "s", "ideal weights, copied onto the chips")
    draw_chips(ax, 1.03, of_trained, "o", "trained in place, on the same chips")
    ax.set(
        xlabel="mismatch of synapses, offsets and slopes",
        ylabel="test error",
        title=f"Digits on {len(ideal)} noisy {NOISY.bits}-bit chips; bars: standard errors",
        xscale="log",
        yscale="log",
    )
    ax.set_xticks(MISMATCHES, [f"{mismatch:.0%}" for mismatch in MISMATCHES])
    ticks = (3, 5, 10, 20, 50)
    ax.set_yticks(ticks, [f"{tick}%" for tick in ticks])
    ax.minorticks_off()
    ax.grid(alpha=0.3)
    ax.legend(loc="upper left")
    figure.savefig(PICTURE, dpi=120)


def draw_chips(ax, shift, accuracies, marker, label):
    errors = 100 * (1 - np.array(accuracies))
    x = shift * np.array(MISMATCHES)
    bars = ax.errorbar(x, errors.mean(axis=1), standard_error(errors), capsize=3, label=label)
    every, color = np.repeat(x, errors.shape[1]), bars.lines[0].get_color()
    ax.plot(every, errors.ravel(), marker, color=color, alpha=0.35, markersize=4)


def row(name, accuracies, networks):
    """Print a line: each chip, the mean, and the loss against the same ideal networks."""
    percent = 100 * np.array(accuracies)
    line = f"{name:32} {' '.join(f'{p:5.1f}' for p in percent)}   mean {percent.mean():.1f}"
    lost = 100 * ideal_accuracies(networks) - percent
    if len(lost) > 1 and lost.any():
        line += f"   lost {lost.mean():4.1f} ± {standard_error(lost):.1f}"
    print(line, flush=True)


def sweep(networks, split, recipe):
    """Copy and train at every mismatch; print two rows each and draw the picture."""
    of_copies, of_trained = [], []
    for mismatch in MISMATCHES:
        of_copies.append(copied(networks, mismatched(mismatch), split))
        row(f"mismatch {mismatch:.0%}, copied", of_copies[-1], networks)
        of_trained.append(in_place(networks, mismatched(mismatch), split, recipe))
        row(f"mismatch {mismatch:.0%}, trained in place", of_trained[-1], networks)
    draw(ideal_accuracies(networks), of_copies, of_trained)
    print(f"\nPicture: {PICTURE}")


def one_by_one(networks, split):
    """Print the loss of a copy by each kind of mismatch alone, with noise and few bits."""
    row("no mismatch", copied(networks, NOISY, split), networks)
    for fault in ("synapses", "offsets", "slopes"):
        faults = NOISY._replace(**{fault: MISMATCH})
        row(f"mismatch of {fault} only", copied(networks, faults, split), networks)


def with_large_offsets(networks, split, recipe):
    """Print the same as the sweep, with offsets relative to the largest state of the layer."""
    networks = [
        network._replace(scales=network.scales._replace(states=network.largest_states))
        for network in networks
    ]
    row("copied", copied(networks, mismatched(MISMATCH), split), networks)
    row("trained in place", in_place(networks, mismatched(MISMATCH), split, recipe), networks)


# %%
# The whole comparison
# --------------------
#
# Nothing was chosen on test rows. ``--validate`` prints the accuracies that chose the recipe, on a
# quarter of the training rows: of nine pairs of β and learning rate, the one with the best copies.


def main(recipe=RECIPE, n_chips=N_CHIPS):
    begin = time.perf_counter()
    split = load_standardised()
    networks = ideal_networks(split, recipe, n_chips)
    print(f"Test accuracy in % of {n_chips} networks of {HIDDEN} hidden units, one chip each, and")
    print("the loss against the same ideal networks (± standard error):\n")
    row("ideal", ideal_accuracies(networks), networks)
    sweep(networks, split, recipe)
    print(f"\nMismatch {MISMATCH:.0%}, copied, one mismatch at a time:\n")
    one_by_one(networks, split)
    print(f"\nMismatch {MISMATCH:.0%}, offsets {MISMATCH:.0%} of the largest state:\n")
    with_large_offsets(networks, split, recipe)
    print(f"\nMismatch {MISMATCH:.0%}, trained in place, updates not added up elsewhere:\n")
    for storage in ("nearest", "stochastic"):
        one = networks[:1]
        row(f"{storage} rounding", in_place(one, mismatched(MISMATCH), split, recipe, storage), one)
    print(f"\nDone in {time.perf_counter() - begin:.0f} s.")


def validate(n_chips):
    """Print the accuracies that chose the recipe, on a quarter of the training rows."""
    X, _, y, _ = load_standardised()
    split = train_test_split(X, y, test_size=0.25, stratify=y, random_state=0)
    print(f"Validation accuracy in %, means of {n_chips}; chips with mismatch {MISMATCH:.0%}:\n")
    print("beta   rate   ideal  copied  in place")
    for beta, rate in product((0.5, 1.0, 1.5), (0.003, 0.006, 0.012)):
        recipe = Recipe(beta, rate)
        networks = ideal_networks(split, recipe, n_chips)
        three = (
            ideal_accuracies(networks),
            copied(networks, mismatched(MISMATCH), split),
            in_place(networks, mismatched(MISMATCH), split, recipe),
        )
        cells = "  ".join(f"{100 * np.mean(scores):6.1f}" for scores in three)
        print(f"{beta:4}  {rate:5}  {cells}", flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description="Train faulty chips in place, and copy ideal weights onto them."
    )
    parser.add_argument(
        "--chips", type=int, default=N_CHIPS, help="networks, one chip each: 2 or more"
    )
    parser.add_argument("--validate", action="store_true", help="compare recipes instead")
    options = parser.parse_args()
    if options.chips < 2:
        parser.error("--chips must be 2 or more, for standard errors")
    # Small products like these are no faster on several threads.
    with threadpool_limits(1):
        if options.validate:
            validate(options.chips)
        else:
            main(n_chips=options.chips)

# %%
# What it shows
# -------------
#
# With synapses, offsets and slopes all off by 10 %, copies lose more than two points of accuracy,
# and chips trained in place less than one. All faults together are needed for this. Each of them
# alone costs a copy about a point at 10 %, mismatch of the synapses hardly more than training in
# place loses. At 5 % copying is as good. With offsets of 10 % of the largest state copies are of
# little use, and training in place is still within two points of the ideal networks.
#
# A step of Adam is far smaller than the distance between two levels of a 6-bit weight. Rounded to
# the nearest level the step is lost, and nothing is learned. So updates are added up in full
# precision beside the chip, and a synapse changes when its sum is nearer to another level, as is
# done with phase-change memory (Nandakumar et al. 2017, arXiv:1712.01192). Stochastic rounding
# needs no sums, but a random draw for every synapse in every update; Adam keeps two numbers per
# synapse beside the chip in any case. The last part of the output compares.
