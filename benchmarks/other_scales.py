"""Measure how often the warnings about other scales are false, and how much they find.

    python benchmarks/other_scales.py --data FOLDER --output benchmarks/results/other_scales.md

Real tables (see `tables.py`) and bundled ones go through the public methods of a regressor with one
hidden unit. Class labels are numbers to it, because the warnings depend on X, and on numbers in y.
"""

from __future__ import annotations

import copy
import warnings
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import threadpoolctl
from datasets import Dataset
from more_epochs import bundled
from report import argument_parser, publish, table
from sklearn.base import clone
from sklearn.model_selection import train_test_split
from sklearn.preprocessing import MinMaxScaler, RobustScaler, StandardScaler
from tables import load_tables

from sklearn_eqprop import EqPropRegressor

SCALERS = (StandardScaler(), MinMaxScaler(), RobustScaler())
#: Rows of the validation sets. A fraction is a share of all rows.
N_HELD_OUT = (1, 2, 5, 10, 20, 0.1)
N_DRAWS = 5
#: Rows of the slices of a stream.
N_SLICE = (20, 200)
#: Columns of a table that a stream is sorted by, or that change their unit.
N_COLUMNS = 5
#: In a rare column one number fills this share of the rows.
RARE = 0.9
FACTORS = (60.0, 1000.0, 1 / 60, 1 / 1000)


def heard(function: Callable, *arguments, **keywords) -> str:
    """Return the warnings of a call."""
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        function(*arguments, **keywords)
    return "\n".join(str(warning.message) for warning in said)


def rate(warned: list[bool]) -> str:
    return f"{sum(warned)} of {len(warned)}"


# ---- validation sets -----------------------------------------------------------------------------


def difference(raw: np.ndarray, scaler) -> tuple[float, float]:
    """Return by how much a scaler changes a column, as medians over the columns.

    The first number is the factor between the spreads. The second is the distance between the
    means, in standard deviations of the scaled column.
    """
    raw = raw[:, raw.std(axis=0) > 0]
    scaled = clone(scaler).fit_transform(raw)
    factor = np.median(scaled.std(axis=0) / raw.std(axis=0))
    moved = np.abs(raw.mean(axis=0) - scaled.mean(axis=0)) / scaled.std(axis=0)
    return max(factor, 1 / factor), float(np.median(moved))


def as_numbers(y: np.ndarray) -> np.ndarray:
    return y.reshape(len(y), -1).astype(float)


def warned_sets(task: Dataset, scaler, size: float, seed: int) -> dict[tuple[str, str], bool]:
    """Return whether scaled and raw validation sets are warned about; training rows are scaled."""
    X, X_val, y, y_val = train_test_split(
        task.X, as_numbers(task.y), test_size=size, random_state=seed
    )
    of_X, of_y = clone(scaler).fit(X), clone(scaler).fit(y)
    # One minibatch and one epoch: the warning comes before training. One row has no R².
    model = EqPropRegressor((1,), max_iter=1, batch_size=len(X), random_state=0)
    model.set_params(early_stopping=True, scoring="loss")
    found = {}
    for kind, held_out in {
        "scaled": (of_X.transform(X_val), of_y.transform(y_val)),
        "raw": (X_val, y_val),
    }.items():
        arguments = dict(zip(("X_val", "y_val"), held_out, strict=True))
        text = heard(model.fit, of_X.transform(X), of_y.transform(y), **arguments)
        found |= {(name, kind): f"{name} is on another scale" in text for name in arguments}
    return found


def validation_sets(tasks: list[Dataset]) -> list[str]:
    """Return tables of the validation sets that are warned about, and of those that are not."""
    counts: dict[tuple, list[bool]] = defaultdict(list)
    missed: dict[tuple, list[bool]] = defaultdict(list)
    for scaler, task in product(SCALERS, tasks):
        # Labels have no unit. A raw set is no fault if the scaler hardly changes anything.
        changes = {"X_val": difference(task.X, scaler)}
        if task.kind == "regression":
            changes["y_val"] = difference(as_numbers(task.y), scaler)
        for size, seed in product(N_HELD_OUT, range(N_DRAWS)):
            for (name, kind), warned in warned_sets(task, scaler, size, seed).items():
                factor, moved = changes.get(name, (1, 0))
                if name not in changes or (kind == "raw" and factor < 2 and moved < 1):
                    continue
                counts[size, scaler, name, kind].append(warned)
                if kind == "raw" and size in (20, 0.1):
                    key = (task.name, name, type(scaler).__name__, f"{factor:.1f}", f"{moved:.1f}")
                    missed[key].append(not warned)
    kinds = [*product(("X_val", "y_val"), ("scaled", "raw"))]
    lines = [
        [
            size if size >= 1 else f"{size:.0%} of all",
            type(scaler).__name__,
            *(rate(counts[size, scaler, *kind]) for kind in kinds),
        ]
        for size, scaler in product(N_HELD_OUT, SCALERS)
    ]
    return [
        "## Validation sets that are warned about",
        "Sets that were scaled as the training rows are false alarms, raw sets are finds. A raw "
        "set counts if the scaler changes the spread of columns by a factor of 2 or more, or "
        "moves their means by a standard deviation or more (medians over the columns).",
        table(["rows", "scaler", *(f"{name}, {kind}" for name, kind in kinds)], lines),
        "Raw sets of 20 rows and of 10 % of all rows that are not warned about:",
        table(
            ["table", "set", "scaler", "factor", "standard deviations", "not warned about"],
            [[*key, rate(found)] for key, found in sorted(missed.items()) if any(found)],
        ),
    ]


# ---- streams -------------------------------------------------------------------------------------


def feed(model: EqPropRegressor, X: np.ndarray, n_slice: int) -> Iterator[bool]:
    """Train on slices, and say of each whether it is warned about. The targets are noise."""
    y = np.random.RandomState(0).standard_normal(len(X))
    for start in range(0, len(X) - n_slice + 1, n_slice):
        rows = slice(start, start + n_slice)
        yield "on another scale than in earlier calls" in heard(model.partial_fit, X[rows], y[rows])


def some_columns(X: np.ndarray) -> np.ndarray:
    """Return some of the columns that vary."""
    return np.random.RandomState(0).permutation(np.flatnonzero(X.std(axis=0) > 0))[:N_COLUMNS]


def is_rare(column: np.ndarray) -> bool:
    """Return whether one number fills nearly all of a column, as in rare indicators."""
    return bool(np.unique(column, return_counts=True)[1].max() >= RARE * len(column))


def new_model() -> EqPropRegressor:
    return EqPropRegressor((1,), random_state=0)


def honest_streams(streams: dict[tuple[str, str], np.ndarray]) -> list[str]:
    """Return a table of the false alarms in streams without a change of unit."""
    counts: dict[tuple, list[bool]] = defaultdict(list)
    alarms: Counter[str] = Counter()
    for ((name, scale), X), n_slice in product(streams.items(), N_SLICE):
        if len(X) < 2 * n_slice:
            continue
        orders = [("random", np.random.RandomState(s).permutation(len(X))) for s in range(N_DRAWS)]
        orders += [("sorted", np.argsort(X[:, k], kind="stable")) for k in some_columns(X)]
        for order, rows in orders:
            warned = any(feed(new_model(), X[rows], n_slice))
            counts[order, scale, n_slice].append(warned)
            alarms[name] += warned
    lines = [
        [order, scale, *(rate(counts[order, scale, n_slice]) for n_slice in N_SLICE)]
        for order, scale in product(("random", "sorted"), ("standardised", "raw"))
    ]
    return [
        "## Streams without a change that are warned about",
        f"Each table comes in {N_DRAWS} random orders, and sorted by up to {N_COLUMNS} of its "
        "columns, which are drawn by chance.",
        table(["order", "X", *(f"slices of {n} rows" for n in N_SLICE)], lines),
        "Tables with false alarms: "
        + (", ".join(f"{name} ({n})" for name, n in alarms.most_common() if n) or "none"),
    ]


def changed_streams(streams: dict[tuple[str, str], np.ndarray]) -> list[str]:
    """Return a table of the streams in which a change of unit is found."""
    at_once: dict[tuple, list[bool]] = defaultdict(list)
    in_time: dict[tuple, list[bool]] = defaultdict(list)
    for ((_, scale), X), n_slice in product(streams.items(), N_SLICE):
        X = X[np.random.RandomState(0).permutation(len(X))]
        half = len(X) // (2 * n_slice) * n_slice
        if half == 0:
            continue
        before = new_model()
        list(feed(before, X[:half], n_slice))
        for column, factor in product(some_columns(X[:half]), FACTORS):
            later = X[half:].copy()
            later[:, column] *= factor
            told = feed(copy.deepcopy(before), later, n_slice)
            key = (factor, is_rare(X[:, column]), scale, n_slice)
            at_once[key].append(next(told))
            in_time[key].append(at_once[key][-1] or any(told))
    lines = [
        [
            f"times {factor:g}" if factor > 1 else f"divided by {1 / factor:g}",
            "rare" if rare else "other",
            scale,
            *(rate(found[factor, rare, scale, n]) for n in N_SLICE for found in (at_once, in_time)),
        ]
        for factor, rare, scale in product(FACTORS, (False, True), ("standardised", "raw"))
    ]
    heads = [f"slices of {n} rows: {when}" for n in N_SLICE for when in ("first", "any")]
    return [
        "## Streams with a change of unit that are warned about",
        f"Random order. After half of the stream the unit of one column changes, of up to "
        f"{N_COLUMNS} columns of each table one at a time. The warning comes with the first slice "
        f"after the change, or with any later one. In a rare column one number fills {RARE:.0%} of "
        "the rows or more.",
        table(["change", "column", "X", *heads], lines),
    ]


def main() -> None:
    parser = argument_parser(__doc__)
    parser.add_argument("--data", type=Path, required=True, help="folder of .npz files")
    parser.add_argument("--only", nargs="*", help="names of tables")
    arguments = parser.parse_args()
    tasks = load_tables(arguments.data) + bundled()
    if arguments.only:
        tasks = [task for task in tasks if task.name in arguments.only]
    streams: dict[tuple[str, str], Any] = {}
    for task in tasks:
        streams[task.name, "standardised"] = StandardScaler().fit_transform(task.X)
        streams[task.name, "raw"] = task.X
    with threadpoolctl.threadpool_limits(1):
        publish(
            "Warnings about other scales",
            f"{len(tasks)} tables.",
            *validation_sets(tasks),
            *honest_streams(streams),
            *changed_streams(streams),
            output=arguments.output,
        )


if __name__ == "__main__":
    main()
