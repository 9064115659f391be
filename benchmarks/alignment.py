"""Compare the two-phase update with the gradient, for every way to learn feedback.

For one to three hidden layers, feedback that starts transposed or independent, and every
`feedback_learning`: the cosine between the vector-field update of each F_l and minus its exact
gradient (the same weights, recurrent backpropagation, float64, the first training rows), test
accuracy, and how recurrent the network is, as in recurrence.py.

    python benchmarks/alignment.py --output benchmarks/results/alignment.md --plot alignment.png
    python benchmarks/alignment.py --data mnist.npz
"""

from __future__ import annotations

import argparse
import itertools
import time
import warnings
from pathlib import Path

import numpy as np
from datasets import load_images
from environment import describe_environment
from recurrence import distance_to_feedforward
from sklearn.datasets import load_digits
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import train_test_split
from sklearn.preprocessing import StandardScaler

from sklearn_eqprop import EqPropClassifier
from sklearn_eqprop._backend import NumpyBackend
from sklearn_eqprop._network import layered_wiring, wired_network
from sklearn_eqprop._relaxation import GaussSeidel
from sklearn_eqprop._rules.base import Minibatch
from sklearn_eqprop._rules.recurrent_backprop import RecurrentBackpropRule
from sklearn_eqprop.learning import (
    NUDGINGS,
    LogLoss,
    SettlingLimits,
    SimulatedNetwork,
    VectorFieldRule,
)

LEARNING = ("fixed", "local", "homeostasis", "kolen_pollack")
STARTS = ("transpose", "independent")
#: Rows of the training set whose mean update is compared with the gradient.
PROBE_ROWS = 300
BETA = 1e-3


def alignment(model: EqPropClassifier, X: np.ndarray, y: np.ndarray) -> list[float]:
    """Return the cosine of each layer's F update with minus the gradient, input side first."""
    network = wired_network(
        layered_wiring(len(model.coefs_)),
        *(
            [np.asarray(block, dtype=np.float64) for block in blocks]
            for blocks in (model.coefs_, model.intercepts_, model.feedback_coefs_)
        ),
        activation="relu",
        backend=NumpyBackend(),
    )
    substrate = SimulatedNetwork(network, GaussSeidel(1.0), SettlingLimits(1e-12, 1e-9, 3000, 3000))
    target = np.eye(len(model.classes_))[y]
    batch = Minibatch(X.astype(np.float64), target, LogLoss(), 1 / len(X), None)
    exact, found = (
        rule.credit(substrate, batch).changes
        for rule in (
            RecurrentBackpropRule(NUDGINGS["centered"], BETA),
            VectorFieldRule(NUDGINGS["centered"], BETA),
        )
    )
    return [
        float(np.vdot(a, b) / (np.linalg.norm(a) * np.linalg.norm(b)))
        for a, b in zip(exact[: network.n_layers], found[: network.n_layers], strict=True)
    ]


def train(shape, start, feedback_learning, split, n_epochs, seed, **settings) -> dict:
    """Train one network and measure it after every epoch."""
    X_train, X_test, y_train, y_test = split
    model = EqPropClassifier(
        shape,
        feedback_init=start,
        feedback_learning=feedback_learning,
        random_state=seed,
        **settings,
    )
    aligned, scores, seconds = [], [], 0.0
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", ConvergenceWarning)
        for _ in range(n_epochs):
            started = time.perf_counter()
            model.partial_fit(X_train, y_train, classes=np.unique(y_train))
            seconds += time.perf_counter() - started
            aligned.append(alignment(model, X_train[:PROBE_ROWS], y_train[:PROBE_ROWS]))
            scores.append(model.score(X_test, y_test))
        distance = distance_to_feedforward(model, X_test)
    pairs = list(zip(model.coefs_[1:], model.feedback_coefs_, strict=True))
    return {
        "alignment": np.array(aligned),
        "scores": np.array(scores),
        "seconds": seconds,
        "warnings": len(caught),
        "distance": distance,
        "gains": [np.linalg.norm(B) / np.linalg.norm(F) for F, B in pairs],
        "loops": [np.linalg.norm(F, 2) * np.linalg.norm(B, 2) for F, B in pairs],
    }


def digits():
    X, y = load_digits(return_X_y=True)
    split = train_test_split(X, y, test_size=0.25, stratify=y, random_state=0)
    return standardised(*split)


def mnist(path: Path, n_train: int):
    X_train, y_train, X_test, y_test = load_images(path)
    return standardised(X_train[:n_train], X_test, y_train[:n_train], y_test)


def standardised(X_train, X_test, y_train, y_test):
    scaler = StandardScaler().fit(X_train)
    return scaler.transform(X_train), scaler.transform(X_test), y_train, y_test


def spaced(values, form: str = ".2f") -> str:
    return " ".join(format(value, form) for value in values)


def row(shape, start, feedback_learning, outcomes: list[dict]) -> str:
    """Return a row of the table: means over the seeds."""

    def mean(name):
        return np.mean([outcome[name] for outcome in outcomes], axis=0)

    aligned, scores = mean("alignment"), mean("scores")
    ends = np.array([outcome["scores"][-1] for outcome in outcomes])
    return (
        f"| {shape} | {start} | {feedback_learning} | {spaced(aligned[0])} | {spaced(aligned[-1])} "
        f"| {scores[len(scores) // 8]:.4f} | {ends.mean():.4f} ± {ends.std():.4f} "
        f"| {spaced(mean('gains'), '.3f')} | {spaced(mean('loops'), '.3f')} "
        f"| {mean('distance'):.1%} | {mean('seconds'):.1f} "
        f"| {sum(outcome['warnings'] for outcome in outcomes)} |"
    )


def draw(path: Path, results: dict, shapes, title: str) -> None:
    """Draw alignment of every hidden layer and test error over the epochs, a column per depth."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt
    from matplotlib.ticker import FixedLocator, NullLocator, ScalarFormatter

    n_rows = max(map(len, shapes)) + 1
    figure, axes = plt.subplots(
        n_rows,
        len(shapes),
        figsize=(4.2 * len(shapes), 2.9 * n_rows),
        layout="constrained",
        sharex=True,
        sharey="row",
        squeeze=False,
    )
    for (shape, start, name), outcomes in results.items():
        column = axes[:, shapes.index(shape)]
        errors = np.mean([1 - outcome["scores"] for outcome in outcomes], axis=0)
        aligned = np.mean([outcome["alignment"] for outcome in outcomes], axis=0)
        style = {
            "color": f"C{LEARNING.index(name)}",
            "linestyle": "-" if start == "transpose" else "--",
            "label": f"{name}, {start}",
        }
        epochs = np.arange(1, len(errors) + 1)
        for layer in range(len(shape)):  # the output layer is aligned whatever feedback does
            column[layer].plot(epochs, aligned[:, layer], **style)
        column[-1].semilogy(epochs, 100 * errors, **style)
    for shape, column in zip(shapes, axes.T, strict=True):
        _label_column(column, len(shape))
    for layer in range(n_rows - 1):
        axes[layer, 0].set_ylim(0, 1.03)
        first = next(ax for ax in axes[layer] if ax.axison)
        first.set_ylabel(f"cosine with gradient, layer {layer + 1}")
        first.tick_params(labelleft=True)
    axes[-1, 0].set_ylabel("test error (%)")
    axes[-1, 0].yaxis.set_major_locator(FixedLocator([1, 2, 3, 5, 10, 20, 50, 100]))
    axes[-1, 0].yaxis.set_major_formatter(ScalarFormatter())
    axes[-1, 0].yaxis.set_minor_locator(NullLocator())
    handles, labels = axes[-1, 0].get_legend_handles_labels()
    empty = [ax for ax in axes.flat if not ax.axison]
    (empty[0] if empty else axes[0, -1]).legend(handles, labels, loc="center", title="feedback")
    figure.suptitle(title)
    figure.savefig(path, dpi=100)


def _label_column(column, n_hidden: int) -> None:
    column[0].set_title(f"{n_hidden} hidden layers" if n_hidden > 1 else "1 hidden layer")
    column[-1].set_xlabel("epoch")
    for ax in column:
        ax.grid(alpha=0.3)
    for ax in column[n_hidden:-1]:
        ax.set_axis_off()


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, help="MNIST as .npz; default: digits")
    parser.add_argument("--train-rows", type=int, default=5000, help="of --data")
    parser.add_argument("--epochs", type=int, default=40)
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--layers", nargs="*", default=["64", "64,64", "64,64,64"])
    parser.add_argument("--loop-gain", type=float, default=0.2)
    parser.add_argument("--batch-size", type=int, default=50)
    parser.add_argument("--output", type=Path)
    parser.add_argument("--plot", type=Path)
    return parser.parse_args()


def main() -> None:
    arguments = parse()
    split = digits() if arguments.data is None else mnist(arguments.data, arguments.train_rows)
    shapes = [tuple(int(size) for size in text.split(",")) for text in arguments.layers]
    what = "digits" if arguments.data is None else f"{arguments.data.stem}, {len(split[0])} rows"
    settings = {"loop_gain": arguments.loop_gain, "batch_size": arguments.batch_size}
    lines = [
        f"# Alignment of the update with the gradient: {what}",
        "",
        describe_environment(),
        "",
        f"{arguments.epochs} epochs, {arguments.seeds} seed(s), {settings}, otherwise defaults. "
        "Alignment: cosine of the update and minus the gradient for F_1 .. F_L, input side first, "
        f"after the first and after the last epoch. Early accuracy: after "
        f"{arguments.epochs // 8 + 1} epochs.",
        "",
        "| hidden layers | feedback starts | feedback_learning | alignment, first epoch "
        "| alignment, last epoch | early accuracy | accuracy | γ | σ(F) σ(B) "
        "| from feedforward pass | s | warnings |",
        "|---|---|---|---|---|---|---|---|---|---|---|---|",
    ]
    print("\n".join(lines), flush=True)
    results = {}
    for key in itertools.product(shapes, STARTS, LEARNING):
        results[key] = [
            train(*key, split, arguments.epochs, seed, **settings)
            for seed in range(arguments.seeds)
        ]
        lines.append(row(*key, results[key]))
        print(lines[-1], flush=True)
    if arguments.output:
        arguments.output.write_text("\n".join(lines) + "\n")
    if arguments.plot:
        seeds = f"mean of {arguments.seeds} seeds" if arguments.seeds > 1 else "one seed"
        title = f"Learning on {what}, {seeds}: update and gradient, layer by layer, and test error"
        draw(arguments.plot, results, shapes, title)


if __name__ == "__main__":
    main()
