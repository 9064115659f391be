"""Measure what each default is worth: change one parameter at a time, 3-fold scores.

python benchmarks/ablation.py --data fashion.npz --output benchmarks/results/ablation.md
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from datasets import small_datasets
from defaults import column, compare
from environment import describe_environment

NAMES = ["digits", "five_classes", "quantiles_4", "fashion_6k", "friedman1"]
#: So that the strength of the penalty is not chosen anew for every change.
FIXED = {"alpha": 1e-4}
VARIANTS: list[dict] = [
    {},
    {"feedback_learning": "local"},
    {"feedback_learning": "fixed"},
    {"feedback_init": "independent"},
    {"feedback_init": "independent", "feedback_learning": "local"},
    {"feedback_init": "independent", "feedback_learning": "homeostasis"},
    {"feedback_learning": "homeostasis"},
    {"feedback": "tied"},
    {"feedback": "tied", "activation": "hard_sigmoid"},
    {"loop_gain": 0.05},
    {"loop_gain": 0.5},
    {"loop_gain": None},
    {"layerwise_rescale": False},
    {"nudging": "one_sided"},
    {"nudging": "random_sign"},
    {"nudging": "centered"},
    {"beta": 0.05},
    {"beta": 0.9},
    {"learning_rate_init": 1e-3},
    {"learning_rate_init": 3e-3},
    {"relax_tol": 1e-2},
    {"relax_tol": 1e-4},
    {"gradient": "asymmetric"},
    {"gradient": "recurrent_backprop"},
    {"activation": "hard_sigmoid"},
    {"activation": "tanh"},
    {"optimizer": "sgd", "learning_rate_init": 0.1},
]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, nargs="*", default=[])
    parser.add_argument("--layers", default="64,64,64")
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--only", nargs="*", help="changes whose description holds one of these")
    parser.add_argument("--output", type=Path)
    arguments = parser.parse_args()
    layers = tuple(int(size) for size in arguments.layers.split(","))
    tasks = [task for task in small_datasets(arguments.data) if task.name in NAMES]
    names = [task.name for task in tasks]
    lines = [
        f"# One default changed at a time, hidden layers {layers}",
        "",
        "Accuracy or R², mean of 3 folds; mean epochs; seconds for all fits; problems reported.",
        "",
        describe_environment(),
        "",
        f"| changed | {' | '.join(names)} | epochs | s | warnings |",
        f"|---|{'---|' * len(names)}---|---|---|",
    ]
    for settings in VARIANTS:
        changed = ", ".join(f"{name}={value!r}" for name, value in settings.items()) or "nothing"
        if arguments.only and not any(part in changed for part in arguments.only):
            continue
        results = compare(
            tasks,
            layers,
            n_folds=3,
            seeds=range(1),
            settings=FIXED | settings,
            sides=("eqprop",),
            n_jobs=arguments.jobs,
        )
        outcomes = [results[name]["eqprop"] for name in names]
        scores = " | ".join(f"{column(each, 'score').mean():.3f}" for each in outcomes)
        every = [outcome for each in outcomes for outcome in each]
        n_problems = sum(len(outcome["problems"]) for outcome in every)
        lines.append(
            f"| {changed} | {scores} | {np.nanmean(column(every, 'epochs')):.0f} "
            f"| {np.nansum(column(every, 'seconds')):.0f} | {n_problems} |"
        )
        print(lines[-1], flush=True)
    if arguments.output:
        arguments.output.write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
