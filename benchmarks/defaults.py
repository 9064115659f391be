"""Compare default settings: equilibrium propagation and scikit-learn's MLP on many data sets.

Both follow a StandardScaler, see the same splits and keep all their default settings. The targets
of the MLP regressor are standardised too; ours does that itself.

    python benchmarks/defaults.py --data FOLDER_OF_NPZ --output benchmarks/results/defaults.md

``--set name=value`` changes a parameter of ours, to measure the worth of a default. ``--against
defaults`` compares the result with our own defaults instead of the MLP:

    python benchmarks/defaults.py --set feedback=tied --against defaults --data FOLDER_OF_NPZ
"""

from __future__ import annotations

import argparse
import ast
import time
import warnings
from pathlib import Path

import joblib
import numpy as np
from datasets import Dataset, small_datasets
from environment import describe_environment
from sklearn.compose import TransformedTargetRegressor
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import KFold, StratifiedKFold
from sklearn.neural_network import MLPClassifier, MLPRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sklearn_eqprop import EqPropClassifier, EqPropRegressor
from sklearn_eqprop.exceptions import DivergenceError

#: Smaller data sets are run with this many times the seeds.
SMALL = 1_000
MORE_SEEDS = 5


def make_model(which: str, kind: str, layers: tuple[int, ...], seed: int, settings: dict):
    """Return the pipeline of one side of the comparison."""
    if which != "mlp":
        estimator = EqPropClassifier if kind == "classification" else EqPropRegressor
        model = estimator(layers, random_state=seed, **settings)
        return make_pipeline(StandardScaler(), model)
    if kind == "classification":
        return make_pipeline(StandardScaler(), MLPClassifier(layers, random_state=seed))
    mlp = TransformedTargetRegressor(
        MLPRegressor(hidden_layer_sizes=layers, random_state=seed), transformer=StandardScaler()
    )
    return make_pipeline(StandardScaler(), mlp)


def run_one(task: Dataset, which: str, layers, seed: int, train, test, settings: dict) -> dict:
    """Fit one model on one split."""
    model = make_model(which, task.kind, layers, seed, settings)
    started = time.process_time()
    problems = []
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        # Only the limit on epochs is expected. Every other warning gets a line in the output.
        try:
            model.fit(task.X[train], task.y[train])
        except DivergenceError as error:
            return {"score": np.nan, "seconds": np.nan, "epochs": np.nan, "problems": [str(error)]}
    for warning in caught:
        limit_of_epochs = "max_iter" in str(warning.message) or "Maximum iterations" in str(
            warning.message
        )
        if not (issubclass(warning.category, ConvergenceWarning) and limit_of_epochs):
            problems.append(str(warning.message))
    seconds = time.process_time() - started
    fitted = model[-1].regressor_ if hasattr(model[-1], "regressor_") else model[-1]
    return {
        "score": model.score(task.X[test], task.y[test]),
        "seconds": seconds,
        "epochs": fitted.n_iter_,
        "problems": problems,
    }


def splits(task: Dataset, n_folds: int, seed: int):
    """Return the cross-validation splits, the same for both sides."""
    splitter = StratifiedKFold if task.kind == "classification" else KFold
    return list(splitter(n_folds, shuffle=True, random_state=seed).split(task.X, task.y))


def seeds_for(task: Dataset, seeds: range) -> range:
    """Return more seeds for small data sets, whose scores depend on chance."""
    if len(task.y) >= SMALL:
        return seeds
    return range(seeds.start, seeds.start + MORE_SEEDS * len(seeds))


def compare(tasks, layers, *, n_folds: int, seeds: range, settings: dict, sides, n_jobs: int):
    """Return the results by data set and side, each a list over seeds and folds."""
    results: dict = {}
    for task in tasks:
        jobs = [
            (task, which, layers, seed, train, test, settings if which == "eqprop" else {})
            for seed in seeds_for(task, seeds)
            for train, test in splits(task, n_folds, seed)
            for which in sides
        ]
        outcomes = joblib.Parallel(n_jobs=n_jobs)(joblib.delayed(run_one)(*job) for job in jobs)
        for job, outcome in zip(jobs, outcomes, strict=True):
            results.setdefault(task.name, {}).setdefault(job[1], []).append(outcome)
        means = {side: column(of, "score").mean() for side, of in results[task.name].items()}
        print(task.name, means, flush=True)
    return results


def column(outcomes: list[dict], name: str) -> np.ndarray:
    return np.array([outcome[name] for outcome in outcomes])


def table(tasks, results, other: str) -> str:
    """Return a Markdown table with a row per data set and the mean differences at the end."""
    name = "MLP" if other == "mlp" else other
    lines = [
        f"| data set | eqprop | {name} | difference | epochs | time / {name} |",
        "|---|---|---|---|---|---|",
    ]
    differences = {"classification": [], "regression": []}
    ratios = []
    for task in tasks:
        ours, theirs = results[task.name]["eqprop"], results[task.name][other]
        difference = column(ours, "score") - column(theirs, "score")
        differences[task.kind].append(difference.mean())
        ratio = np.median(column(ours, "seconds") / column(theirs, "seconds"))
        ratios.append(ratio)
        scores = [
            f"{scores.mean():.4f} ± {scores.std():.4f}"
            for scores in (column(ours, "score"), column(theirs, "score"), difference)
        ]
        epochs = f"{column(ours, 'epochs').mean():.0f} / {column(theirs, 'epochs').mean():.0f}"
        lines.append(f"| {task.name} | {' | '.join(scores)} | {epochs} | {ratio:.2f} |")
    every = [*differences["classification"], *differences["regression"]]
    lines.append("")
    for kind, values in differences.items():
        if values:
            lines.append(f"- mean difference, {kind}: {np.mean(values):+.4f}")
    lines += [
        f"- mean difference, all {len(every)} data sets: {np.mean(every):+.4f}",
        f"- worst: {min(every):+.4f}; at or above {name}: {sum(d >= 0 for d in every)}",
        f"- time / {name}, median of the data sets: {np.median(ratios):.2f}",
    ]
    problems = {
        f"{name}: {problem}"
        for name, sides in results.items()
        for outcome in sides["eqprop"]
        for problem in outcome["problems"]
    }
    lines += [f"- warning: {problem}" for problem in sorted(problems)] or ["- no warnings of ours"]
    return "\n".join(lines)


def parse_setting(text: str):
    name, _, value = text.partition("=")
    try:
        return name, ast.literal_eval(value)
    except (ValueError, SyntaxError):
        return name, value


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, nargs="*", default=[], help=".npz files or folders")
    parser.add_argument("--layers", nargs="*", default=["100", "64,64,64"])
    parser.add_argument("--only", nargs="*", help="names of data sets")
    parser.add_argument("--folds", type=int, default=3)
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--first-seed", type=int, default=100, help="0..9 chose the defaults")
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--set", nargs="*", default=[], metavar="NAME=VALUE")
    parser.add_argument("--against", choices=["mlp", "defaults"], default="mlp")
    parser.add_argument("--output", type=Path)
    arguments = parser.parse_args()
    seeds = range(arguments.first_seed, arguments.first_seed + arguments.seeds)
    settings = dict(parse_setting(text) for text in arguments.set)
    tasks = small_datasets(arguments.data)
    if arguments.only:
        tasks = [task for task in tasks if task.name in arguments.only]
    parts = [
        "# Defaults against defaults",
        f"{arguments.folds}-fold cross-validation, seeds {list(seeds)}; accuracy or R², mean "
        f"± standard deviation over folds and seeds ({MORE_SEEDS} times as many seeds for data "
        f"sets of fewer than {SMALL:,} rows); {arguments.jobs} fits at a time, one BLAS "
        f"thread each.\n{describe_environment()}",
    ]
    if settings:
        parts.append(f"Changed from the defaults: {settings}")
    for text in arguments.layers:
        layers = tuple(int(size) for size in text.split(","))
        results = compare(
            tasks,
            layers,
            n_folds=arguments.folds,
            seeds=seeds,
            settings=settings,
            sides=("eqprop", arguments.against),
            n_jobs=arguments.jobs,
        )
        parts.append(f"## Hidden layers {layers}\n\n{table(tasks, results, arguments.against)}")
        print("\n\n".join(parts[-1:]), flush=True)
    if arguments.output:
        arguments.output.write_text("\n\n".join(parts) + "\n")


if __name__ == "__main__":
    main()
