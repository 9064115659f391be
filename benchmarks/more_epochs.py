"""Measure whether the warning about `max_iter` is given where more epochs help.

    python benchmarks/more_epochs.py --data FOLDER --output benchmarks/results/more_epochs.md

Fits of different lengths are compared with fits of twice the length: default settings otherwise,
real tables (see `tables.py`) and bundled data sets, standardised, 3/4 of the rows to train on. Fits
that stop by themselves are left out.
"""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
from datasets import Dataset
from report import argument_parser, publish, table
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
    parser = argument_parser(__doc__)
    parser.add_argument("--data", type=Path, required=True, help="folder of .npz files")
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
    lines = []
    for warned, found in rises.items():
        on_train, on_test = np.array(found).T
        shares = [f"{np.mean(found):.0%}" for found in (on_test > MUCH, on_test < -MUCH)]
        what = "warns" if warned else "does not warn"
        lines.append([what, len(on_test), *shares, f"{np.median(on_train):.3f}"])
    head = ["the fit", "fits", f"other rows: rises by more than {MUCH}"]
    head += [f"falls by more than {MUCH}", "training rows: median rise"]
    publish(
        f"Fits of {', '.join(map(str, LENGTHS))} epochs, and of twice as many",
        table(head, lines),
        f"Of {len(tasks)} default fits ({LENGTHS[-1]} epochs) {len(full)} reached max_iter, and "
        f"{sum(full)} of these warned.",
        output=arguments.output,
    )


if __name__ == "__main__":
    main()
