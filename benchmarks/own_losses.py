"""Measure training with losses of one's own: time over that of a built-in loss, calls, and fit.

    python benchmarks/own_losses.py --output benchmarks/results/own_losses.md

Default settings, except for the columns of the tables. Processor times of one BLAS thread. The two
fits of a ratio alternate.
"""

from __future__ import annotations

import math
import statistics
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import threadpoolctl
from report import argument_parser, publish, table
from sklearn.base import clone
from sklearn.datasets import load_diabetes, load_digits
from sklearn.exceptions import ConvergenceWarning
from sklearn.preprocessing import StandardScaler

from sklearn_eqprop import EqPropClassifier, EqPropRegressor

#: Training within this many times the time of the built-in loss.
TARGET = 5.0
#: Accuracy of the hinge loss on the training rows after `LONG` epochs.
TARGET_ACCURACY = 0.96
SHORT, LONG = 3, 30
NUDGINGS = ("one_sided", "centered", "random_sign")
N_CLASSES = (75, 150, 300)
N_ROWS = 600
#: Rows of a minibatch with batch_size='auto'.
N_BATCH = 200


@dataclass
class Own:
    """A loss without `curvature`: a sum over the outputs, times a scale. It counts its calls."""

    cost: Callable
    slope: Callable
    scale: float
    calls: int = 0

    def value(self, output, target):
        return self.scale * self.cost(output, target).sum(axis=1)

    def derivative(self, output, target):
        self.calls += 1
        return self.scale * self.slope(output, target)


def margin(output, target):
    return (2 * target - 1) * output


def pinball(scale: float, quantile: float = 0.9) -> Own:
    """Return the loss of quantile regression, which docs/learning_rules.md shows."""
    return Own(
        lambda s, y: np.maximum(quantile * (y - s), (quantile - 1) * (y - s)),
        lambda s, y: np.where(s > y, 1 - quantile, -quantile),
        scale,
    )


def squared_hinge(scale: float) -> Own:
    return Own(
        lambda s, y: np.maximum(1 - margin(s, y), 0) ** 2,
        lambda s, y: 2 * (1 - 2 * y) * np.maximum(1 - margin(s, y), 0),
        scale,
    )


def insensitive(scale: float) -> Own:
    return Own(
        lambda s, y: np.maximum(np.abs(y - s) - 0.1, 0),
        lambda s, y: np.where(np.abs(y - s) > 0.1, np.sign(s - y), 0),
        scale,
    )


def hinge(scale: float) -> Own:
    return Own(
        lambda s, y: np.maximum(1 - margin(s, y), 0),
        lambda s, y: np.where(margin(s, y) < 1, 1 - 2 * y, 0),
        scale,
    )


class OwnLogLoss:
    """Cross-entropy of a softmax, as `loss='log_loss'` computes it."""

    #: Largest eigenvalue of diag(p) - p p^T for any probabilities p.
    curvature = 0.5

    def value(self, output, target):
        largest = output.max(axis=1)
        log_sum = largest + np.log(np.exp(output - largest[:, None]).sum(axis=1))
        return log_sum - (target * output).sum(axis=1)

    def derivative(self, output, target):
        grown = np.exp(output - output.max(axis=1, keepdims=True))
        return grown / grown.sum(axis=1, keepdims=True) - target


class UnboundedLogLoss(OwnLogLoss):
    """Softmax cross-entropy that does not tell its curvature."""

    curvature = None


def seconds(model, X: np.ndarray, y: np.ndarray) -> float:
    """Return the processor time of a fit."""
    started = time.process_time()
    model.fit(X, y)
    return time.process_time() - started


def against(own, built_in, X, y, repeats: int) -> tuple[float, float]:
    """Return the median seconds of a fit with a loss of one's own, and the median ratio."""
    pairs = [(seconds(own, X, y), seconds(built_in, X, y)) for _ in range(repeats)]
    return (
        statistics.median(first for first, _ in pairs),
        statistics.median(first / second for first, second in pairs),
    )


def calls_per_minibatch(model, X: np.ndarray, y: np.ndarray) -> str:
    """Fit the model; return how often a minibatch called the derivative of one's own loss."""
    before = getattr(model.loss, "calls", 0)
    model.fit(X, y)
    calls = getattr(model.loss, "calls", 0) - before
    return f"{calls / (model.n_iter_ * math.ceil(len(X) / N_BATCH)):.0f}"


def rated(ratio: float) -> str:
    return f"{ratio:.1f}" + (" (target missed)" if ratio > TARGET else "")


def share_below(model, X, y) -> float:
    """Return the share of targets that are not above the prediction: the quantile, if it fits."""
    return float(np.mean(y <= model.predict(X)))


def score(model, X, y) -> float:
    return float(model.score(X, y))


@dataclass(frozen=True)
class Problem:
    """Data, the estimator, the built-in loss to compare with, and losses: name, judge, loss."""

    estimator: type
    built_in: str
    data: tuple[np.ndarray, np.ndarray]
    losses: list[tuple[str, Callable, Any]]


def digits() -> Problem:
    X, y = load_digits(return_X_y=True)
    losses = [("hinge", hinge), ("squared hinge", squared_hinge)]
    return Problem(
        EqPropClassifier, "log_loss", (X / 16, y), [(name, score, loss) for name, loss in losses]
    )


def diabetes() -> Problem:
    X, y = load_diabetes(return_X_y=True)
    losses = [
        ("pinball of 0.9", share_below, pinball),
        ("epsilon-insensitive", score, insensitive),
    ]
    data = (StandardScaler().fit_transform(X), y)
    return Problem(EqPropRegressor, "absolute_error", data, losses)


def kinks(problem: Problem, repeats: int) -> str:
    """Return a table of the losses, with every nudging and with steep scales."""
    X, y = problem.data
    variants = [(nudging, 1.0, "float64") for nudging in NUDGINGS]
    variants += [("one_sided", 1e4, "float32"), ("one_sided", 1e9, "float64")]
    lines = []
    for nudging, scale, dtype in variants:
        settings = {"nudging": nudging, "dtype": dtype, "random_state": 0}
        built_in = problem.estimator(loss=problem.built_in, **settings, max_iter=SHORT)
        rows = [(problem.built_in, score, problem.built_in)] if scale == 1 else []
        rows += [(name, judge, make(scale=scale)) for name, judge, make in problem.losses]
        for name, judge, loss in rows:
            model = clone(built_in).set_params(loss=loss)
            took, ratio = against(model, built_in, X, y, repeats)
            calls = calls_per_minibatch(model.set_params(max_iter=LONG), X, y)
            cells = (f"{1e3 * took:.0f}", rated(ratio), calls, f"{judge(model, X, y):.3f}")
            lines.append([name, f"{scale:g}", dtype, nudging, *cells])
    head = ["loss", "scale", "dtype", "nudging", "ms", "ratio", "calls", f"after {LONG} epochs"]
    return table(head, lines)


def many_outputs(repeats: int) -> str:
    """Return a table of the time per epoch of a softmax, over the number of classes."""
    lines = []
    for n_classes in N_CLASSES:
        rng = np.random.RandomState(0)
        X = rng.standard_normal((N_ROWS, 20))
        y = np.arange(N_ROWS) % n_classes
        built_in = EqPropClassifier(max_iter=SHORT, random_state=0)
        for name, loss in {
            "log_loss": "log_loss",
            "own, with curvature": OwnLogLoss(),
            "own, without": UnboundedLogLoss(),
        }.items():
            took, ratio = against(clone(built_in).set_params(loss=loss), built_in, X, y, repeats)
            lines.append([n_classes, name, f"{1e3 * took / SHORT:.0f}", rated(ratio)])
    return table(["classes", "loss", "ms per epoch", "ratio"], lines)


def main() -> None:
    parser = argument_parser(__doc__)
    parser.add_argument("--repeats", type=int, default=15)
    arguments = parser.parse_args()
    warnings.simplefilter("ignore", ConvergenceWarning)  # these fits are short on purpose
    with threadpoolctl.threadpool_limits(1):
        publish(
            "Losses of one's own",
            f"Milliseconds for {SHORT} epochs, and the ratio to the built-in loss with the same "
            f"nudging and dtype: medians of {arguments.repeats} pairs of fits. Calls of "
            f"`derivative` per minibatch, in the fit of {LONG} epochs. Targets: a ratio of at most "
            f"{TARGET:g}, and {TARGET_ACCURACY:g} with the hinge loss.",
            f"## Digits, accuracy on the training rows\n\n{kinks(digits(), arguments.repeats)}",
            "## Diabetes, R² on the training rows (pinball: share of targets not above the "
            f"prediction)\n\n{kinks(diabetes(), arguments.repeats)}",
            f"## Softmax cross-entropy, {N_ROWS} rows\n\n{many_outputs(arguments.repeats)}",
            output=arguments.output,
        )


if __name__ == "__main__":
    main()
