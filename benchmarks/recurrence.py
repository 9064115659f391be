"""Measure how recurrent a trained network is, and what stronger feedback costs and gives.

For several bounds on the loop gain: test accuracy, feedback strength γ_l = ||B_l|| / ||F_{l+1}||,
spectral norms of the loops σ(F_{l+1}) σ(B_l), how far the equilibrium lies from the
feedforward pass (relative distance of the hidden states), sweeps, and time.

    python benchmarks/recurrence.py --output benchmarks/results/recurrence.md
"""

from __future__ import annotations

import argparse
import time
import warnings
from pathlib import Path

import numpy as np
from environment import describe_environment
from sklearn.datasets import load_digits
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import train_test_split
from sklearn.preprocessing import StandardScaler

from sklearn_eqprop import EqPropClassifier

BOUNDS = [0.05, 0.2, 0.5, 0.9, None]
SHAPES = [(100,), (64, 64, 64)]


def feedforward_states(model: EqPropClassifier, X: np.ndarray) -> list[np.ndarray]:
    """Return the hidden states of the same network without its feedback (relu)."""
    states, signal = [], X
    for coef, intercept in zip(model.coefs_[:-1], model.intercepts_[:-1], strict=True):
        signal = np.maximum(signal @ coef + intercept, 0)
        states.append(signal)
    return states


def distance_to_feedforward(model: EqPropClassifier, X: np.ndarray) -> float:
    settled = np.hstack(model.relax(X).states[:-1])
    passed = np.hstack(feedforward_states(model, X))
    return float(np.linalg.norm(settled - passed) / np.linalg.norm(settled))


def row(shape: tuple[int, ...], bound: float | None) -> str:
    X, y = load_digits(return_X_y=True)
    X = StandardScaler().fit_transform(X)
    split = train_test_split(X, y, test_size=0.25, stratify=y, random_state=0)
    X_train, X_test, y_train, y_test = split
    model = EqPropClassifier(shape, loop_gain=bound, random_state=0)
    started = time.perf_counter()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", ConvergenceWarning)
        model.fit(X_train, y_train)
        seconds = time.perf_counter() - started
        score = model.score(X_test, y_test)
        distance = distance_to_feedforward(model, X_test)
    pairs = list(zip(model.coefs_[1:], model.feedback_coefs_, strict=True))
    gains = [np.linalg.norm(B) / np.linalg.norm(F) for F, B in pairs]
    loops = [np.linalg.norm(F, 2) * np.linalg.norm(B, 2) for F, B in pairs]
    settling = model.relaxation_
    return (
        f"| {shape} | {bound} | {score:.4f} | {' '.join(f'{gain:.3f}' for gain in gains)} "
        f"| {' '.join(f'{loop:.3f}' for loop in loops)} | {distance:.1%} "
        f"| {settling['free_steps'][-1]:.1f} + {settling['nudged_steps'][-1]:.1f} "
        f"| {model.n_iter_} | {seconds:.1f} | {len(caught)} |"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--output", type=Path)
    arguments = parser.parse_args()
    lines = [
        "# How recurrent a trained network is: digits",
        "",
        describe_environment(),
        "",
        "| hidden layers | loop_gain | accuracy | γ, input side first | σ(F) σ(B) "
        "| from feedforward pass | sweeps, last epoch | epochs | s | warnings |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    for shape in SHAPES:
        for bound in BOUNDS:
            lines.append(row(shape, bound))
            print(lines[-1], flush=True)
    if arguments.output:
        arguments.output.write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
