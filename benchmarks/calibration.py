"""Measure calibration: expected calibration error beside MLPClassifier's.

python benchmarks/calibration.py --data mnist.npz --output benchmarks/results/calibration.md

Expected calibration error (Guo et al. 2017): sort the samples into 15 bins of equal width by their
largest probability. In each bin take the distance between the mean of this probability and the
fraction of correct labels. The error is the mean of this distance over the samples. Without --data
only digits are run.
"""

from __future__ import annotations

import argparse
import warnings
from pathlib import Path

import joblib
import numpy as np
from datasets import load_images
from environment import describe_environment
from sklearn.datasets import load_digits
from sklearn.exceptions import ConvergenceWarning
from sklearn.metrics import log_loss
from sklearn.model_selection import train_test_split
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sklearn_eqprop import EqPropClassifier

N_BINS = 15
ESTIMATORS = {
    "EqPropClassifier, log_loss": lambda seed: EqPropClassifier(random_state=seed),
    "EqPropClassifier, squared_error": lambda seed: EqPropClassifier(
        random_state=seed, loss="squared_error"
    ),
    "MLPClassifier": lambda seed: MLPClassifier(random_state=seed),
}


def expected_calibration_error(probabilities: np.ndarray, right: np.ndarray) -> float:
    """Return the calibration error of the predicted class, in `N_BINS` bins of equal width."""
    confidence = probabilities.max(axis=1)
    bins = np.minimum((confidence * N_BINS).astype(int), N_BINS - 1)
    gaps = [
        abs(confidence[bins == b].mean() - right[bins == b].mean()) * (bins == b).mean()
        for b in np.unique(bins)
    ]
    return float(np.sum(gaps))


def measured(name: str, seed: int, parts: tuple) -> tuple[float, float, float]:
    """Return accuracy, log loss and calibration error on the test rows."""
    X_train, X_test, y_train, y_test = parts
    model = make_pipeline(StandardScaler(), ESTIMATORS[name](seed))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        model.fit(X_train, y_train)
    probabilities = model.predict_proba(X_test)
    right = model.predict(X_test) == y_test
    labels = model[-1].classes_
    return (
        right.mean(),
        log_loss(y_test, np.clip(probabilities, 1e-15, 1), labels=labels),
        expected_calibration_error(probabilities, right),
    )


def table(title: str, splits: list[tuple]) -> list[str]:
    lines = [
        f"## {title}",
        "",
        f"Mean over {len(splits)} seed(s) (largest calibration error in brackets).",
        "",
        "| estimator | accuracy | log loss | expected calibration error |",
        "|---|---|---|---|",
    ]
    for name in ESTIMATORS:
        runs = joblib.Parallel(2)(
            joblib.delayed(measured)(name, seed, parts) for seed, parts in enumerate(splits)
        )
        accuracy, loss, error = np.array(runs).T
        lines.append(
            f"| {name} | {accuracy.mean():.4f} | {loss.mean():.4f} | {error.mean():.4f} "
            f"({error.max():.4f}) |"
        )
    return [*lines, ""]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, help="MNIST as an .npz file")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--rows", type=int, default=60_000, help="of MNIST to train on")
    parser.add_argument("--mnist-seeds", type=int, default=3)
    parser.add_argument("--output", type=Path)
    arguments = parser.parse_args()
    X, y = load_digits(return_X_y=True)
    splits = [
        train_test_split(X, y, test_size=0.25, stratify=y, random_state=seed)
        for seed in range(arguments.seeds)
    ]
    lines = ["# Calibration, default settings", "", describe_environment(), ""]
    lines += table("Digits, a quarter held out", splits)
    if arguments.data:
        X, y, X_test, y_test = load_images(arguments.data)
        parts = (X[: arguments.rows], X_test, y[: arguments.rows], y_test)
        title = f"MNIST, {arguments.rows} training rows, 10,000 test rows"
        lines += table(title, [parts] * arguments.mnist_seeds)
    text = "\n".join(lines)
    print(text)
    if arguments.output:
        arguments.output.write_text(text)


if __name__ == "__main__":
    main()
