"""Fit inputs that nobody prepared: does a default fit learn, or say what is wrong?

There is no scaler. The table has the test accuracy, MLPClassifier's, and the warnings of ours.

    python benchmarks/odd_inputs.py --data mnist.npz --output benchmarks/results/odd_inputs.md
"""

from __future__ import annotations

import argparse
import warnings
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from datasets import load_images
from environment import describe_environment
from sklearn import datasets
from sklearn.model_selection import train_test_split
from sklearn.neural_network import MLPClassifier
from sklearn.preprocessing import StandardScaler

from sklearn_eqprop import EqPropClassifier


def cases(data: Path | None) -> Iterator[tuple[str, np.ndarray, np.ndarray]]:
    rng = np.random.RandomState(0)
    digits, digit = datasets.load_digits(return_X_y=True)
    yield "digits, pixels 0..16", digits, digit
    yield "digits, pixels 0..255", digits * (255 / 16), digit
    if data is not None:
        images, label, _, _ = load_images(data)
        yield "MNIST 3k, pixels 0..255", images[:3000] * 255, label[:3000]
    wine, kind = datasets.load_wine(return_X_y=True)
    yield "wine, raw", wine, kind
    cancer, diagnosis = datasets.load_breast_cancer(return_X_y=True)
    yield "breast cancer, raw", cancer, diagnosis
    scaled = StandardScaler().fit_transform(cancer)
    scales = 10.0 ** rng.randint(-3, 5, size=scaled.shape[1])
    yield "breast cancer, columns of scale 1e-3 to 1e4", scaled * scales, diagnosis
    yield "breast cancer, scaled, plus 1e4", scaled + 1e4, diagnosis
    yield "breast cancer, scaled, times 1e-6", scaled * 1e-6, diagnosis
    yield "breast cancer, scaled, 5 constant columns", np.c_[scaled, np.ones((569, 5))], diagnosis
    few = np.r_[np.flatnonzero(diagnosis == 0)[:3], np.flatnonzero(diagnosis == 1)[:2]]
    yield "5 training samples", scaled[few], diagnosis[few]
    X, y = datasets.make_classification(300, 10_000, n_informative=200, random_state=0)
    yield "10,000 features, 300 samples", X, y
    centres = 2 * rng.standard_normal((200, 30))
    y = np.arange(4000) % 200
    yield "200 classes", centres[y] + rng.standard_normal((4000, 30)), y


def accuracy(estimator, split) -> tuple[float, list[str]]:
    X_train, X_test, y_train, y_test = split
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        score = estimator.fit(X_train, y_train).score(X_test, y_test)
    return score, [str(warning.message).split(":")[0] for warning in caught]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, help="MNIST as an .npz file")
    parser.add_argument("--output", type=Path)
    arguments = parser.parse_args()
    lines = [
        "# Inputs nobody prepared, default settings",
        "",
        describe_environment(),
        "",
        "| inputs | EqPropClassifier | MLPClassifier | what ours says |",
        "|---|---|---|---|",
    ]
    for name, X, y in cases(arguments.data):
        # There are only five samples: training samples are also the test samples.
        few = X.shape[0] < 10
        split = (X, X, y, y) if few else train_test_split(X, y, stratify=y, random_state=0)
        ours, messages = accuracy(EqPropClassifier(random_state=0), split)
        theirs, _ = accuracy(MLPClassifier(random_state=0), split)
        lines.append(f"| {name} | {ours:.3f} | {theirs:.3f} | {'; '.join(messages)} |")
        print(lines[-1], flush=True)
    if arguments.output:
        arguments.output.write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
