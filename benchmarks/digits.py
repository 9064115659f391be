"""Run digits with default settings: cross-validation, and many seeds to find one that fails.

python benchmarks/digits.py --output benchmarks/results/digits.md
python benchmarks/digits.py --feedback tied --output benchmarks/results/digits_tied.md
"""

from __future__ import annotations

import argparse
import warnings
from pathlib import Path

import joblib
import numpy as np
from environment import describe_environment
from sklearn.datasets import load_digits
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import StratifiedKFold, cross_val_score, train_test_split
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sklearn_eqprop import EqPropClassifier

SHAPES = [(100,), (100, 100), (64, 64, 64)]


def cross_validated(estimator) -> np.ndarray:
    X, y = load_digits(return_X_y=True)
    folds = StratifiedKFold(5, shuffle=True, random_state=0)
    model = make_pipeline(StandardScaler(), estimator)
    return cross_val_score(model, X, y, cv=folds, n_jobs=2)


def one_seed(shape: tuple[int, ...], seed: int, feedback: str) -> tuple[float, list[str]]:
    """Return the accuracy on a held-out quarter, and the warnings of the fit."""
    X, y = load_digits(return_X_y=True)
    X_train, X_test, y_train, y_test = train_test_split(
        X, y, test_size=0.25, stratify=y, random_state=seed
    )
    classifier = EqPropClassifier(shape, feedback=feedback, random_state=seed)
    model = make_pipeline(StandardScaler(), classifier)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", ConvergenceWarning)
        score = model.fit(X_train, y_train).score(X_test, y_test)
    return score, [str(warning.message) for warning in caught]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--feedback", choices=["untied", "tied"], default="untied")
    parser.add_argument("--output", type=Path)
    arguments = parser.parse_args()
    feedback = arguments.feedback
    title = f"# Digits, default settings{', tied feedback' if feedback == 'tied' else ''}"
    lines = [title, "", describe_environment(), "", "## 5-fold", ""]
    ours = EqPropClassifier(feedback=feedback, random_state=0)
    for estimator in (ours, MLPClassifier(random_state=0)):
        scores = cross_validated(estimator)
        lines.append(
            f"- {type(estimator).__name__}: {scores.mean():.4f} ± {scores.std():.4f} "
            f"(folds {', '.join(f'{score:.4f}' for score in scores)})"
        )
    lines += [
        "",
        f"## {arguments.seeds} seeds, a quarter held out",
        "",
        "| hidden layers | mean | standard deviation | smallest | warnings |",
        "|---|---|---|---|---|",
    ]
    for shape in SHAPES:
        runs = joblib.Parallel(2)(
            joblib.delayed(one_seed)(shape, seed, feedback) for seed in range(arguments.seeds)
        )
        scores = np.array([score for score, _ in runs])
        messages = sorted({message for _, caught in runs for message in caught})
        lines.append(
            f"| {shape} | {scores.mean():.4f} | {scores.std():.4f} | {scores.min():.4f} "
            f"| {'; '.join(messages) or 'none'} |"
        )
    text = "\n".join(lines) + "\n"
    print(text)
    if arguments.output:
        arguments.output.write_text(text)


if __name__ == "__main__":
    main()
