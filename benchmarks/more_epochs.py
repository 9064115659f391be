"""Measure whether the warning about `max_iter` is given where more epochs help.

    python benchmarks/more_epochs.py --data FOLDER --output benchmarks/results/more_epochs.md

Fits of different lengths are compared with fits of twice the length: default settings otherwise,
real tables (see `tables.py`) and bundled data sets, standardised, 3/4 of the rows to train on. Fits
that stop by themselves are left out.
"""

from __future__ import annotations

import argparse
import warnings
from pathlib import Path

import numpy as np
from datasets import Dataset
from environment import describe_environment
from sklearn.datasets import load_breast_cancer, load_diabetes, load_iris, load_wine
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from tables import load_tables

from sklearn_eqprop import EqPropClassifier, EqPropRegressor

LENGTHS = (10, 20, 30, 50, 70, 100, 150, 200)
#: A score has risen, or fallen, if it changes by more than this.
MUCH = 0.02


def bundled() -> list[Dataset]:
    """Return the small data sets that scikit-learn bundles."""
    loaders = {"iris": load_iris, "wine": load_wine, "breast_cancer": load_breast_cancer}
    tasks = [
        Dataset(name, "classification", *load(return_X_y=True)) for name, load in loaders.items()
    ]
    return [*tasks, Dataset("diabetes", "regression", *load_diabetes(return_X_y=True))]


def fit(task: Dataset, max_iter: int) -> tuple[float, float, bool, bool]:
    """Return scores on training and other rows, and whether `max_iter` was reached and named."""
    X, X_test, y, y_test = train_test_split(task.X, task.y, random_state=0)
    kind = EqPropClassifier if task.kind == "classification" else EqPropRegressor
    model = make_pipeline(StandardScaler(), kind(max_iter=max_iter, random_state=0))
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        model.fit(X, y)
    warned = any("reached max_iter" in str(warning.message) for warning in said)
    return model.score(X, y), model.score(X_test, y_test), model[-1].n_iter_ == max_iter, warned


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="folder of .npz files")
    parser.add_argument("--output", type=Path)
    arguments = parser.parse_args()
    rises: dict[bool, list[tuple[float, float]]] = {True: [], False: []}
    full: list[bool] = []
    tasks = load_tables(arguments.data) + bundled()
    for task in tasks:
        for length in LENGTHS:
            train, test, reached, warned = fit(task, length)
            if not reached:
                continue
            longer_train, longer_test, *_ = fit(task, 2 * length)
            rises[warned].append((longer_train - train, longer_test - test))
            if length == LENGTHS[-1]:
                full.append(warned)
    lines = [
        "| the fit | fits | other rows: rises by more than 0.02 | falls by more than 0.02 "
        "| training rows: median rise |",
        "|---|---|---|---|---|",
    ]
    for warned, found in rises.items():
        on_train, on_test = np.array(found).T
        what = "warns" if warned else "does not warn"
        lines.append(
            f"| {what} | {len(found)} | {np.mean(on_test > MUCH):.0%} | "
            f"{np.mean(on_test < -MUCH):.0%} | {np.median(on_train):.3f} |"
        )
    text = (
        f"# Fits of {', '.join(map(str, LENGTHS))} epochs, and of twice as many\n\n"
        f"{describe_environment()}\n\n" + "\n".join(lines) + "\n\n"
        f"Of {len(tasks)} default fits ({LENGTHS[-1]} epochs) {len(full)} reached max_iter, and "
        f"{sum(full)} of these warned.\n"
    )
    print(text)
    if arguments.output:
        arguments.output.write_text(text)


if __name__ == "__main__":
    main()
