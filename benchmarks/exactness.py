"""Measure how exact `gradient='asymmetric'` is, and whether a small β lowers the accuracy.

The first table has the cosine between the update and minus the gradient, over all parameters, at
the weights of trained networks: the same weights for every β and both ways of nudging. The second
has the accuracy after training with a large and a small β, beside recurrent backpropagation.

    python benchmarks/exactness.py --output benchmarks/results/exactness.md
"""

from __future__ import annotations

import argparse
import time
import warnings
from pathlib import Path

import numpy as np
from datasets import small_datasets
from environment import describe_environment
from sklearn.base import clone
from sklearn.datasets import load_breast_cancer
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import StratifiedKFold, cross_validate
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sklearn_eqprop import EqPropClassifier
from sklearn_eqprop.diagnostics import gradient_alignment

LAYERS = (64, 64, 64)
BETAS = (0.5, 0.05, 0.005, 0.0005)
NUDGINGS = ("one_sided", "centered")
ACTIVATIONS = ("relu", "hard_sigmoid", "tanh")
TASKS = ("breast_cancer", "digits", "five_classes", "quantiles_4")
RULES = {
    "β = 0.5": {"gradient": "asymmetric", "beta": 0.5},
    "β = 0.005": {"gradient": "asymmetric", "beta": 0.005},
    "recurrent_backprop": {"gradient": "recurrent_backprop"},
}


def cosines(activation: str) -> list[list[float]]:
    """Return the cosines of update and minus the gradient: a row per nudging, a column per β."""
    X, y = load_breast_cancer(return_X_y=True)
    X = StandardScaler().fit_transform(X)
    settings = {"max_iter": 30, "n_iter_no_change": None, "random_state": 0}
    model = EqPropClassifier(LAYERS, activation=activation, gradient="asymmetric", **settings)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        model.fit(X, y)
    return [
        [
            gradient_alignment(model.set_params(nudging=nudging, beta=beta), X, y).update
            for beta in BETAS
        ]
        for nudging in NUDGINGS
    ]


def trained(X, y, seeds: range, settings: dict) -> dict[str, float]:
    """Return the mean accuracy of 3 folds and all seeds, its deviation over seeds, and seconds."""
    model = make_pipeline(StandardScaler(), EqPropClassifier(LAYERS, **settings))
    found, started = [], time.perf_counter()
    for seed in seeds:
        folds = StratifiedKFold(3, shuffle=True, random_state=seed)
        one = clone(model).set_params(eqpropclassifier__random_state=seed)
        found.append(cross_validate(one, X, y, cv=folds, return_train_score=True))
    held_out = [each["test_score"].mean() for each in found]
    seen = [each["train_score"].mean() for each in found]
    return {
        "accuracy": float(np.mean(held_out)),
        "deviation": float(np.std(held_out)),
        "training": float(np.mean(seen)),
        "seconds": time.perf_counter() - started,
    }


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--output", type=Path)
    return parser.parse_args()


def main() -> None:
    arguments = parse()
    lines: list[str] = []

    def say(line: str = "") -> None:
        lines.append(line)
        print(line, flush=True)

    say("# The exactness of gradient='asymmetric'")
    say()
    say(describe_environment())
    say()
    say(
        f"Cosine of the update, as training settles it, with minus the gradient: breast cancer, "
        f"hidden layers {LAYERS}, after 30 epochs at the default β, otherwise defaults."
    )
    say()
    say(f"| activation | nudging | {' | '.join(f'β = {beta:g}' for beta in BETAS)} |")
    say(f"|---|---|{'---|' * len(BETAS)}")
    for activation in ACTIVATIONS:
        for nudging, row in zip(NUDGINGS, cosines(activation), strict=True):
            say(f"| {activation} | {nudging} | {' | '.join(f'{each:.4f}' for each in row)} |")
    say()
    say(
        f"Accuracy after training, hidden layers {LAYERS}, defaults but for what is named: mean of "
        f"3 folds and {arguments.seeds} seeds ± standard deviation over the seeds, and on the "
        "training rows; seconds for all fits."
    )
    say()
    say("| data | rule | accuracy | on training rows | s |")
    say("|---|---|---|---|---|")
    for task in small_datasets([]):
        if task.name not in TASKS:
            continue
        for rule, settings in RULES.items():
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", ConvergenceWarning)
                found = trained(task.X, task.y, range(arguments.seeds), settings)
            say(
                f"| {task.name} | {rule} | {found['accuracy']:.4f} ± {found['deviation']:.4f} "
                f"| {found['training']:.4f} | {found['seconds']:.0f} |"
            )
    if arguments.output:
        arguments.output.write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
