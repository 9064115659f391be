"""Measure how exact `gradient='asymmetric'` is, and whether its small β lowers the accuracy.

The first table has the lowest cosine between the update of a layer and minus its gradient. The
networks are trained with nothing else set, and each is measured with every β. The second has the
accuracy after training, beside recurrent backpropagation.

    python benchmarks/exactness.py --output benchmarks/results/exactness.md
"""

from __future__ import annotations

import argparse
import itertools
import time
import warnings
from pathlib import Path

import numpy as np
from datasets import small_datasets
from environment import describe_environment
from sklearn.base import clone
from sklearn.datasets import load_breast_cancer, load_diabetes
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import StratifiedKFold, cross_validate
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sklearn_eqprop import EqPropClassifier, EqPropRegressor
from sklearn_eqprop._network import ACTIVATIONS
from sklearn_eqprop.diagnostics import gradient_alignment

LAYERS = (64, 64, 64)
DEPTHS = ((64,), LAYERS)
EPOCHS = (1, 30)
BETAS = ("auto", 1e-3, 0.05, 0.5)
FEEDBACK = ({}, {"feedback_init": "independent", "feedback_learning": "fixed"})
TASKS = ("breast_cancer", "digits", "five_classes", "quantiles_4")
RULES = {
    "asymmetric": {"gradient": "asymmetric"},
    "asymmetric, β = 0.5": {"gradient": "asymmetric", "beta": 0.5},
    "recurrent_backprop": {"gradient": "recurrent_backprop"},
}


def networks(activation: str):
    """Yield trained networks with their data: two tasks, depths, lengths and kinds of feedback."""
    tasks = ((EqPropClassifier, load_breast_cancer), (EqPropRegressor, load_diabetes))
    for (kind, load), depth, n_epochs, feedback in itertools.product(
        tasks, DEPTHS, EPOCHS, FEEDBACK
    ):
        X, y = load(return_X_y=True)
        X = StandardScaler().fit_transform(X)
        settings = {"max_iter": n_epochs, "n_iter_no_change": None, "random_state": 0} | feedback
        model = kind(depth, activation=activation, gradient="asymmetric", **settings)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            yield model.fit(X, y), X, y


def lowest_cosines(activation: str) -> list[float]:
    """Return, for each β, the lowest cosine of any layer's weights or biases in all networks."""
    found = [
        [
            min(
                block.update_cosine
                for block in gradient_alignment(model.set_params(beta=beta), X, y).blocks
                if block.role != "feedback"
            )
            for beta in BETAS
        ]
        for model, X, y in networks(activation)
    ]
    return np.min(found, axis=0).tolist()


def trained(X, y, seeds: range, settings: dict) -> dict[str, float]:
    """Return mean accuracy of 3 folds and all seeds, its deviation over seeds, and CPU seconds."""
    model = make_pipeline(StandardScaler(), EqPropClassifier(LAYERS, **settings))
    found, started = [], time.process_time()
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
        "seconds": time.process_time() - started,
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
        "Lowest cosine of the update of a layer (weights or biases), as training settles it, with "
        "minus its gradient, over 16 networks per activation: breast cancer and diabetes, hidden "
        f"layers {DEPTHS[0]} and {DEPTHS[1]}, after 1 and 30 epochs, feedback by default and "
        "independent and fixed; otherwise defaults."
    )
    say()
    say(f"| activation | {' | '.join(f'beta={beta!r}' for beta in BETAS)} |")
    say(f"|---|{'---|' * len(BETAS)}")
    for activation in ACTIVATIONS:
        say(
            f"| {activation} | {' | '.join(f'{each:.6f}' for each in lowest_cosines(activation))} |"
        )
    say()
    say(
        f"Accuracy after training, hidden layers {LAYERS}, otherwise defaults: mean of "
        f"3 folds and {arguments.seeds} seeds ± standard deviation over the seeds, and on the "
        "training rows; CPU seconds for all fits."
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
