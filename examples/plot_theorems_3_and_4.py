"""
===========================
Theorem 3 against Theorem 4
===========================

Two processes compute error derivatives in the same time (Scellier et al. 2018). Recurrent
backpropagation (Theorem 3) sends S backwards through the *forward* weights, so it must read them in
reverse. In equilibrium propagation (Theorem 4) the nudged network simply moves: σ, its velocity in
units of the nudge, passes through the *feedback* weights.

Top, a network with tied weights: S and -σ are equal at every time. Bottom, the same network with
random feedback: both start from the same force at the output and differ after the first connection.
Left: sizes of the signals. Right: cosines, of the signals and of the updates that they have added
up so far.

::

    python examples/plot_theorems_3_and_4.py
"""

import argparse

import matplotlib

matplotlib.use("Agg")  # draws into a file, needs no screen

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_digits
from sklearn.preprocessing import StandardScaler

from sklearn_eqprop import EqPropClassifier
from sklearn_eqprop.diagnostics import ErrorProcessesDisplay, error_processes


def parse(argv=None):
    parser = argparse.ArgumentParser(description="Two ways to error derivatives.")
    parser.add_argument("--hidden", type=int, nargs="+", default=[64, 64])
    parser.add_argument("--epochs", type=int, default=15)
    parser.add_argument("--train-rows", type=int, default=1500)
    parser.add_argument("--rows", type=int, default=200, help="samples to look at")
    parser.add_argument("--output", metavar="PATH", default="theorems_3_and_4.png")
    return parser.parse_args(argv)


def with_symmetric_feedback(tied, X, y):
    """Return an estimator with the weights sqrt(γ) F, and their transposes as feedback.

    The loops are as strong as those of the tied network, whose feedback is γ F^T.
    """
    model = EqPropClassifier(**tied.get_params()).set_params(feedback="untied")
    model.partial_fit(X, y, classes=tied.classes_)
    scales = [1.0, *np.sqrt(tied.feedback_gains_)]
    model.coefs_ = [scale * coef for scale, coef in zip(scales, tied.coefs_, strict=True)]
    model.intercepts_ = tied.intercepts_
    model.feedback_coefs_ = [coef.T for coef in model.coefs_[1:]]
    return model


def with_random_feedback(tied, X, y):
    """Return an estimator with the same forward weights and random feedback of the same size."""
    model = EqPropClassifier(**tied.get_params()).set_params(feedback="untied")
    model.partial_fit(X, y, classes=tied.classes_)
    model.coefs_, model.intercepts_ = tied.coefs_, tied.intercepts_
    rng = np.random.RandomState(0)
    feedback = [rng.standard_normal(coef.T.shape) for coef in tied.coefs_[1:]]
    model.feedback_coefs_ = [
        draw * np.linalg.norm(coef) / np.linalg.norm(draw)
        for draw, coef in zip(feedback, tied.coefs_[1:], strict=True)
    ]
    return model


def draw(path, named):
    figure, axes = plt.subplots(2, 2, figsize=(11, 8), layout="constrained")
    for row, (name, processes) in zip(axes, named.items(), strict=True):
        display = ErrorProcessesDisplay(processes)
        display.plot(row[0])
        display.plot(row[1], kind="cosines")
        row[0].set_title(f"{name}: sizes of the signals")
        row[1].set_title(f"{name}: cosines")
    figure.savefig(path, dpi=120)
    plt.close(figure)


def main(argv=None):
    options = parse(argv)
    X, y = load_digits(return_X_y=True)
    X = StandardScaler().fit_transform(X)
    tied = EqPropClassifier(
        options.hidden,
        activation="hard_sigmoid",
        feedback="tied",
        loop_gain=0.5,
        max_iter=options.epochs,
        learning_rate="cosine",
        random_state=0,
    ).fit(X[: options.train_rows], y[: options.train_rows])
    tied = with_symmetric_feedback(tied, X[:200], y[:200])
    rows = slice(-options.rows, None)
    models = {"Tied": tied, "Random feedback": with_random_feedback(tied, X[:200], y[:200])}
    named = {
        name: error_processes(model, X[rows], y[rows], max_time=20, n_records=100)
        for name, model in models.items()
    }
    for name, processes in named.items():
        print(f"{name}\n{processes}\n")
    draw(options.output, named)
    print(f"Picture: {options.output}")


if __name__ == "__main__":
    main()
