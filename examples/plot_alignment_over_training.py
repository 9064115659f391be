"""
=======================
Alignment over training
=======================

This example measures how well the update follows the gradient in training, for four kinds of
feedback:

* it starts at the transposed forward weights, and the Kolen-Pollack rule keeps it there (default);
* it starts there and learns by its own two-phase update, as in the paper;
* it is drawn at random and learns by that update;
* it is drawn at random and fixed.

Left: cosine of the update of the first layer, which is farthest from the output, with -dJ/dθ.
Middle: the same over all parameters that the update trains. Right: accuracy on held-out digits.

::

    python examples/plot_alignment_over_training.py
"""

import argparse

import matplotlib

matplotlib.use("Agg")  # draws into a file, needs no screen

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from sklearn.preprocessing import StandardScaler

from sklearn_eqprop import EqPropClassifier
from sklearn_eqprop.diagnostics import gradient_alignment

WAYS = {
    "transpose, Kolen-Pollack": ("transpose", "kolen_pollack"),
    "transpose, own update": ("transpose", "local"),
    "random, own update": ("independent", "local"),
    "random, fixed": ("independent", "fixed"),
}


def parse(argv=None):
    parser = argparse.ArgumentParser(description="Alignment of four kinds of feedback.")
    parser.add_argument("--hidden", type=int, nargs="+", default=[64, 64, 64])
    parser.add_argument("--epochs", type=int, default=15)
    parser.add_argument("--train-rows", type=int, default=1300)
    parser.add_argument("--rows", type=int, default=200, help="samples to measure alignment on")
    parser.add_argument("--output", metavar="PATH", default="alignment_over_training.png")
    return parser.parse_args(argv)


def follow(model, X_train, X_test, y_train, y_test, options):
    """Return the cosine of F_1, the cosine over all and the test accuracy after every epoch."""
    history = []
    for _ in range(options.epochs):
        model.partial_fit(X_train, y_train, classes=np.arange(10))
        found = gradient_alignment(model, X_train[: options.rows], y_train[: options.rows])
        first = next(block for block in found.blocks if block.name == "F_1")
        history.append((first.update_cosine, found.update, model.score(X_test, y_test)))
    return np.array(history)


def draw(path, histories):
    figure, axes = plt.subplots(1, 3, figsize=(13, 4.4), layout="constrained")
    for name, history in histories.items():
        for ax, values in zip(axes, history.T, strict=True):
            ax.plot(np.arange(1, len(values) + 1), values, marker=".", label=name)
    axes[0].set(title="Update of the first layer", ylabel="cosine with $-dJ/d\\theta$")
    axes[1].set(title="Update of all layers", ylabel="cosine with $-dJ/d\\theta$")
    axes[2].set(title="Held-out digits", ylabel="accuracy")
    for ax in axes[:2]:
        ax.axhline(0, color="grey", linewidth=0.8)
        ax.set_ylim(min(-0.1, *ax.get_ylim()), 1.05)
    for ax in axes:
        ax.set_xlabel("epoch")
        ax.grid(alpha=0.3)
        ax.xaxis.get_major_locator().set_params(integer=True)
    figure.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=4)
    figure.savefig(path, dpi=120)
    plt.close(figure)


def main(argv=None):
    options = parse(argv)
    X, y = load_digits(return_X_y=True)
    X_train, X_test, y_train, y_test = train_test_split(X, y, test_size=0.25, random_state=0)
    X_train, y_train = X_train[: options.train_rows], y_train[: options.train_rows]
    scaler = StandardScaler().fit(X_train)
    data = scaler.transform(X_train), scaler.transform(X_test), y_train, y_test
    histories = {}
    print(f"{'after the last epoch':26} {'F_1':>6} {'all':>6}  accuracy")
    for name, (start, learning) in WAYS.items():
        model = EqPropClassifier(
            options.hidden, feedback_init=start, feedback_learning=learning, random_state=0
        )
        histories[name] = follow(model, *data, options)
        first, overall, accuracy = histories[name][-1]
        print(f"{name:26} {first:+6.2f} {overall:+6.2f} {accuracy:9.1%}", flush=True)
    draw(options.output, histories)
    print(f"Picture: {options.output}")


if __name__ == "__main__":
    main()
