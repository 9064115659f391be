"""Measure how far default fits follow noisy labels and targets, and which parameters help.

    python benchmarks/noise.py --output benchmarks/results/noise.md

The tables have the test accuracy or R² of a fit on 1,000 noisy rows, after a StandardScaler
(targets of MLPRegressor are standardised too). The last problem of each kind has no noise and shows
the price.
"""

from __future__ import annotations

import argparse
import warnings
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from environment import describe_environment
from sklearn.base import is_classifier
from sklearn.compose import TransformedTargetRegressor
from sklearn.datasets import load_digits, make_classification, make_friedman1
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import train_test_split
from sklearn.neural_network import MLPClassifier, MLPRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sklearn_eqprop import EqPropClassifier, EqPropRegressor

N_TRAIN = 1000
CHANGES: dict[type, list[dict]] = {
    EqPropClassifier: [
        {},
        {"alpha": 1e-4},
        {"alpha": 1e-4, "early_stopping": True},
        {"alpha": 3.0},
        {"alpha": 1e-4, "max_iter": 70},
    ],
    EqPropRegressor: [
        {},
        {"alpha": 1e-4},
        {"alpha": 1e-4, "early_stopping": True},
        {"alpha": 10.0},
        {"alpha": 1e-4, "max_iter": 70},
    ],
}
OTHERS = {
    EqPropClassifier: MLPClassifier,
    EqPropRegressor: lambda random_state: TransformedTargetRegressor(
        MLPRegressor(random_state=random_state), transformer=StandardScaler()
    ),
}


def classifications(seed: int) -> Iterator[tuple]:
    """Yield name, training rows and labels, test rows and labels."""
    for flipped in (0.2, 0.4, 0.0):
        X, y = make_classification(4000, 20, n_informative=10, flip_y=flipped, random_state=seed)
        split = train_test_split(X, y, train_size=N_TRAIN, random_state=seed)
        yield f"{flipped:.0%} of labels drawn anew", *split
    X, y = load_digits(return_X_y=True)
    X_train, X_test, y_train, y_test = train_test_split(X, y, train_size=N_TRAIN, random_state=seed)
    rng = np.random.RandomState(seed)
    noisy = np.where(rng.rand(N_TRAIN) < 0.2, rng.randint(10, size=N_TRAIN), y_train)
    yield "digits, 20% of training labels drawn anew", X_train, X_test, noisy, y_test
    yield "digits", X_train, X_test, y_train, y_test


def regressions(seed: int) -> Iterator[tuple]:
    """Yield name, training rows and targets, test rows and targets."""
    rng = np.random.RandomState(seed)
    X = rng.standard_normal((4000, 20))
    y = X[:, 0] + np.sin(2 * X[:, 1]) + 0.5 * X[:, 2] * X[:, 3]
    for name, noisy in (
        ("20 inputs, as much noise as signal", y + 1.4 * rng.standard_normal(4000)),
        ("20 inputs, Poisson counts", rng.poisson(np.exp(0.5 * y)).astype(float)),
        ("20 inputs, no noise", y),
    ):
        yield name, *train_test_split(X, noisy, train_size=N_TRAIN, random_state=seed)
    X, y = make_friedman1(4000, noise=0.5, random_state=seed)
    yield "friedman1", *train_test_split(X, y, train_size=N_TRAIN, random_state=seed)


def scores(make, problems, seeds: int) -> dict[str, list[float]]:
    """Return the test scores of every problem by name, one per seed."""
    found: dict[str, list[float]] = {}
    for seed in range(seeds):
        for name, X_train, X_test, y_train, y_test in problems(seed):
            model = make_pipeline(StandardScaler(), make(seed)).fit(X_train, y_train)
            found.setdefault(name, []).append(model.score(X_test, y_test))
    return found


def table(kind: type, problems, seeds: int) -> list[str]:
    columns = [("MLP", lambda seed: OTHERS[kind](random_state=seed))]
    for change in CHANGES[kind]:
        title = ", ".join(f"{name}={value}" for name, value in change.items()) or "default"
        columns.append((title, lambda seed, change=change: kind(random_state=seed, **change)))
    results = [scores(make, problems, seeds) for _, make in columns]
    lines = [
        f"| {'accuracy' if is_classifier(kind()) else 'R²'} | "
        + " | ".join(title for title, _ in columns)
        + " |",
        "|" + "---|" * (1 + len(columns)),
    ]
    for name in results[0]:
        means = [f"{np.mean(found[name]):.3f}" for found in results]
        lines.append(f"| {name} | {' | '.join(means)} |")
    return lines


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--output", type=Path)
    arguments = parser.parse_args()
    warnings.simplefilter("ignore", ConvergenceWarning)
    lines = ["# Noisy labels and targets", "", describe_environment(), ""]
    lines += [f"{N_TRAIN:,} training rows; means over {arguments.seeds} seeds.", ""]
    for kind, problems in ((EqPropClassifier, classifications), (EqPropRegressor, regressions)):
        lines += [*table(kind, problems, arguments.seeds), ""]
        print("\n".join(lines), flush=True)
    if arguments.output:
        arguments.output.write_text("\n".join(lines[:-1]) + "\n")


if __name__ == "__main__":
    main()
