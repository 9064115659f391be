"""
================================================
Train a chip whose faults the learner cannot see
================================================

This example trains digits on a simulated analog chip, ``EqPropClassifier(substrate=AnalogChip())``.
Its synapses, units and states have faults that the learner does not see.

``python examples/hardware/plot_analog_substrate.py`` takes about a minute of one core and
writes ``analog_substrate.png`` into the current folder. ``--chips 16`` reduces the standard errors.
"""

# %%
# The question
# ------------
#
# A chip (:class:`sklearn_eqprop.substrates.AnalogChip`) has these faults:
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
import warnings
from itertools import product
from typing import NamedTuple

import matplotlib.pyplot as plt
import numpy as np
from sklearn.base import clone
from sklearn.datasets import load_digits
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import GridSearchCV, train_test_split
from sklearn.preprocessing import StandardScaler
from threadpoolctl import threadpool_limits

from sklearn_eqprop import EqPropClassifier
from sklearn_eqprop.substrates import AnalogChip

HIDDEN = 16
MISMATCHES = (0.05, 0.1, 0.2, 0.4)  # the same for synapses, offsets and slopes
MISMATCH = 0.1  # for the parts that use only one
N_CHIPS = 6
GRID = {"substrate__bits": [2, 3, 6], "substrate__mismatch": [0.1, 0.4]}
PICTURE = "analog_substrate.png"


class Recipe(NamedTuple):
    """How a network is trained, on an ideal or a faulty chip; see `validate`."""

    beta: float = 1.5
    learning_rate: float = 0.006
    n_epochs: int = 30


RECIPE = Recipe()


IDEAL = AnalogChip(mismatch=0, noise=0, bits=None)


# %%
# The learner
# -----------
#
# The learner is the usual one: the vector field, centred nudging, Kolen-Pollack feedback and Adam.
# Only the simulated network is replaced by the chip.


def classifier(chip, recipe, seed):
    """Return a classifier for a chip."""
    return EqPropClassifier(
        (HIDDEN,),
        substrate=chip,
        loop_gain=0.9,  # large, so that feedback matters for the dynamics
        beta=recipe.beta,
        nudging="centered",
        learning_rate_init=recipe.learning_rate,
        learning_rate="cosine",
        max_iter=recipe.n_epochs,
        n_iter_no_change=None,
        batch_size=100,
        alpha=1e-4,
        random_state=seed,
    )


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
# The same recipe trains ideal networks, on chips without faults. Each faulty chip is made for one
# of them: its synapses hold the largest weights of that network. Offsets are relative to the
# standard deviation of the states in their layer, about a fifth of the largest state. This favours
# the copies.
#
# After ``fit``, another value of `substrate` copies the weights to another chip.


class Ideal(NamedTuple):
    """A network that was trained on a chip without faults, and the chips that are made for it."""

    accuracy: float
    model: object
    noisy: AnalogChip
    largest_states: tuple[float, ...]


def ideal_networks(split, recipe, n_networks):
    X_train, X_test, y_train, y_test = split
    networks = []
    for seed in range(n_networks):
        model = classifier(IDEAL, recipe, seed).fit(X_train, y_train)
        states = model.relax(X_train).states
        blocks = [*model.coefs_, *model.feedback_coefs_, *model.intercepts_]
        noisy = AnalogChip(
            mismatch=0,
            noise=0.1,
            bits=6,
            weight_range=[float(np.abs(block).max()) for block in blocks],
            state_scale=[float(s.std()) for s in states],
            random_state=seed,
        )
        largest = tuple(float(np.abs(s).max()) for s in states)
        networks.append(Ideal(model.score(X_test, y_test), model, noisy, largest))
    return networks


def chip_of(network, **faults):
    """Return the chip that is made for an ideal network, with other faults."""
    return clone(network.noisy).set_params(**faults)


def copied(networks, split, **faults):
    """Return the test accuracies of ideal weights, copied onto one chip per network."""
    _, X_test, _, y_test = split
    return [
        network.model.set_params(substrate=chip_of(network, **faults)).score(X_test, y_test)
        for network in networks
    ]


def in_place(networks, split, recipe, **faults):
    """Return the test accuracies of the same chips, trained from the start instead."""
    X_train, X_test, y_train, y_test = split
    return [
        classifier(chip_of(network, **faults), recipe, seed)
        .fit(X_train, y_train)
        .score(X_test, y_test)
        for seed, network in enumerate(networks)
    ]


def ideal_accuracies(networks):
    return np.array([network.accuracy for network in networks])


def standard_error(scores):
    return np.std(scores, axis=-1, ddof=1) / np.sqrt(np.shape(scores)[-1])


# %%
# Tables and a picture
# --------------------
#
# Each mismatch gives two rows of a table, and two points with error bars in the picture.


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
        title=f"Digits on {len(ideal)} noisy 6-bit chips; bars: standard errors",
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
        of_copies.append(copied(networks, split, mismatch=mismatch))
        row(f"mismatch {mismatch:.0%}, copied", of_copies[-1], networks)
        of_trained.append(in_place(networks, split, recipe, mismatch=mismatch))
        row(f"mismatch {mismatch:.0%}, trained in place", of_trained[-1], networks)
    draw(ideal_accuracies(networks), of_copies, of_trained)
    print(f"\nPicture: {PICTURE}")


def one_by_one(networks, split):
    """Print the loss of a copy by each kind of mismatch alone, with noise and few bits."""
    none = {"mismatch": 0, "offsets": 0, "slopes": 0}
    row("no mismatch", copied(networks, split, **none), networks)
    for name, fault in (("synapses", "mismatch"), ("offsets", "offsets"), ("slopes", "slopes")):
        faults = none | {fault: MISMATCH}
        row(f"mismatch of {name} only", copied(networks, split, **faults), networks)


def with_large_offsets(networks, split, recipe):
    """Print the same as the sweep, with offsets relative to the largest state of the layer."""
    networks = [
        network._replace(noisy=chip_of(network, state_scale=list(network.largest_states)))
        for network in networks
    ]
    row("copied", copied(networks, split, mismatch=MISMATCH), networks)
    row("trained in place", in_place(networks, split, recipe, mismatch=MISMATCH), networks)


# %%
# A search over chips
# -------------------
#
# The parameters of a chip are parameters of the estimator, so scikit-learn's tools work on them:
# how many bits does a chip need, and which mismatch may it have?


def search(split, recipe):
    """Print the accuracy in cross-validation of chips with other bits and mismatch."""
    X_train, _, y_train, _ = split
    chip = AnalogChip(noise=0.1, state_scale=3.0, random_state=0)
    found = GridSearchCV(classifier(chip, recipe, 0), GRID, cv=2).fit(X_train, y_train)
    names = [name.removeprefix("substrate__") for name in GRID]
    for values, score in zip(
        product(*GRID.values()), found.cv_results_["mean_test_score"], strict=True
    ):
        print("  ".join(f"{n} {v:<4}" for n, v in zip(names, values, strict=True)), f"{score:.1%}")


# %%
# The whole comparison
# --------------------
#
# Nothing was chosen on test rows. ``--validate`` compares nine pairs of β and learning rate on a
# quarter of the training rows. With three networks, copies of the best pair are 0.4 points better.


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
        scores = in_place(one, split, recipe, mismatch=MISMATCH, storage=storage)
        row(f"{storage} rounding", scores, one)
    print("\nBits and mismatch, trained in place, accuracy in twofold cross-validation:\n")
    search(split, recipe)
    print(f"\nDone in {time.perf_counter() - begin:.0f} s.")


def validate(n_chips):
    """Print the accuracies of other recipes, on a quarter of the training rows."""
    X, _, y, _ = load_standardised()
    split = train_test_split(X, y, test_size=0.25, stratify=y, random_state=0)
    print(f"Validation accuracy in %, means of {n_chips}; chips with mismatch {MISMATCH:.0%}:\n")
    print("beta   rate   ideal  copied  in place")
    for beta, rate in product((0.5, 1.0, 1.5), (0.003, 0.006, 0.012)):
        recipe = Recipe(beta, rate)
        networks = ideal_networks(split, recipe, n_chips)
        three = (
            ideal_accuracies(networks),
            copied(networks, split, mismatch=MISMATCH),
            in_place(networks, split, recipe, mismatch=MISMATCH),
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
    # Small products like these are no faster on several threads. All recipes reach max_iter.
    with threadpool_limits(1), warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        if options.validate:
            validate(options.chips)
        else:
            main(n_chips=options.chips)

# %%
# What it shows
# -------------
#
# If synapses, offsets and slopes all have a mismatch of 10 %, copies lose more than two points of
# accuracy, and chips trained in place lose less than one. Each mismatch alone costs a copy about
# one point at 10 %. All of them together cost about one point at 5 %. With offsets of 10 % of the
# largest state copies are of little use. Training in place still comes within two points of the
# ideal networks.
#
# A step of Adam is far smaller than the distance between two levels of a 6-bit weight. Rounded to
# the nearest level the step is lost, and nothing is learned. So updates are added up in full
# precision beside the chip, and a synapse changes when its sum is nearer to another level. Systems
# with phase-change memory do the same (Nandakumar et al. 2017, arXiv:1712.01192). Stochastic
# rounding needs no sums, but a random draw for every synapse in every update; Adam keeps two
# numbers per synapse beside the chip in any case. The last part of the output compares.
