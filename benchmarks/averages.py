"""Compare ways to average the weights over the updates: held-out errors, epoch by epoch.

    python benchmarks/averages.py --data mnist.npz --output benchmarks/results/averages.md

One fit per data set, schedule and seed. All averages follow the same fit, so that differences are
those of the averages. Held-out rows are rows of the training set.

* "τ epochs": an exponential average. Weights of τ epochs ago count 1/e as much as the last ones.
* "last 1/k": polynomial decay (Shamir & Zhang 2013), which averages about the last k-th of all
  updates so far.
"""

from __future__ import annotations

import copy
import warnings
from pathlib import Path
from unittest.mock import patch

import numpy as np
from datasets import load_images
from report import argument_parser, publish, table
from sklearn.datasets import load_digits
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import train_test_split

from sklearn_eqprop import EqPropClassifier
from sklearn_eqprop._training.trainer import Trainer

EPOCHS = (3, 10, 30)
SEEDS = range(3)
N_ROWS, N_HELD_OUT = 5000, 5000
SCHEDULES = ("constant", "cosine")


def exponential(epochs: float):
    """Share of the newest weights in an average over about so many epochs, free of its start."""

    def share(n_updates: int, per_epoch: int) -> float:
        decay = np.exp(-1 / (epochs * per_epoch))
        return (1 - decay) / (1 - decay**n_updates)

    return share


def tail(k: int):
    """Share of the newest weights in an average over about the last k-th of all updates."""
    return lambda n_updates, per_epoch: k / (n_updates + k - 1)


WAYS = {"last weights": lambda n_updates, per_epoch: 1.0}
WAYS |= {f"{epochs:g} epochs": exponential(epochs) for epochs in (0.25, 0.5, 1, 2, 5)}
WAYS |= {f"last 1/{k}": tail(k) for k in (2, 5, 10, 20)}


def errors(X, y, X_val, y_val, schedule: str, seed: int, batch_size: int) -> dict:
    """Return the held-out errors in % of each way after each of `EPOCHS`."""
    per_epoch = -(-len(X) // batch_size)
    n_updates, means, found = 0, {}, {}
    train_on = Trainer.train_on
    settings = {"learning_rate": schedule, "batch_size": batch_size, "n_iter_no_change": None}
    model = EqPropClassifier(alpha=1e-3, max_iter=max(EPOCHS), random_state=seed, **settings)

    def follow(self, *arguments):
        nonlocal n_updates
        result = train_on(self, *arguments)
        n_updates += 1
        for way, share_of in WAYS.items():
            share = share_of(n_updates, per_epoch)
            mean = means.setdefault(way, [np.zeros_like(a) for a in self.network.arrays])
            for old, new in zip(mean, self.network.arrays, strict=True):
                old += share * (new - old)
        if n_updates % per_epoch == 0 and n_updates // per_epoch in EPOCHS:
            for way, mean in means.items():
                found[way, n_updates // per_epoch] = [array.copy() for array in mean]
        return result

    with patch.object(Trainer, "train_on", follow), warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        model.fit(X, y)
    result = {}
    for which, arrays in found.items():
        twin = copy.deepcopy(model)
        n_coefs, n_feedback = len(model.coefs_), len(model.feedback_coefs_)
        twin.coefs_ = arrays[:n_coefs]
        twin.feedback_coefs_ = arrays[n_coefs : n_coefs + n_feedback]
        twin.intercepts_ = arrays[n_coefs + n_feedback :]
        result[which] = 100 * (1 - twin.score(X_val, y_val))
    return result


def main() -> None:
    parser = argument_parser(__doc__)
    parser.add_argument("--data", type=Path, required=True, help="MNIST as an .npz file")
    arguments = parser.parse_args()
    X, y, _, _ = load_images(arguments.data)
    order = np.random.RandomState(0).permutation(len(X))[: N_ROWS + N_HELD_OUT]
    X, y = X[order], y[order]
    digits = load_digits(return_X_y=True)
    sets = {
        "digits": (digits[0] / 16, digits[1], 1200, 50),
        "MNIST": (X, y, N_ROWS, 100),
    }
    lines = []
    for name, (X, y, n_rows, batch_size) in sets.items():
        for schedule in SCHEDULES:
            runs = []
            for seed in SEEDS:
                X_fit, X_val, y_fit, y_val = train_test_split(
                    X, y, train_size=n_rows, random_state=seed, stratify=y
                )
                runs.append(errors(X_fit, y_fit, X_val, y_val, schedule, seed, batch_size))
            for way in WAYS:
                mean = [np.mean([run[way, n] for run in runs]) for n in EPOCHS]
                lines.append([name, schedule, way, *(f"{value:.2f}" for value in mean)])
                print(lines[-1], flush=True)
    head = ["data", "learning_rate", "average", *(f"epoch {n}" for n in EPOCHS)]
    text = f"Held-out errors in %, means of {len(SEEDS)} seeds.\n\n{table(head, lines)}"
    publish("Averages of weights", text, output=arguments.output)


if __name__ == "__main__":
    main()
