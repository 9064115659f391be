"""Run the network of Scellier & Bengio (2017), γ = 1, on digits, and look for silent collapses.

The first table has cross-validated accuracies. The second one changes optimiser, learning rate and
loss: each fit must learn or warn.

    python benchmarks/classical.py --output benchmarks/results/classical.md
"""

from __future__ import annotations

import itertools
import time
import warnings

import numpy as np
from report import argument_parser, publish, table
from sklearn.datasets import load_digits
from sklearn.model_selection import StratifiedKFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MaxAbsScaler, StandardScaler

from sklearn_eqprop import EqPropClassifier

CLASSICAL = {
    "activation": "hard_sigmoid",
    "feedback": "tied",
    "feedback_scale": 1.0,
    "loop_gain": None,
    "loss": "squared_error",
    "learning_rate": "cosine",
}
#: Pixels are 0 to 16, so the first one divides by 16.
SCALERS = {"in [0, 1]": MaxAbsScaler, "standardised": StandardScaler}
#: Number of seeds, of the splits and the weights.
N_SEEDS = 3
GRID = {
    "loss": ["squared_error", "log_loss"],
    "optimizer": ["adam", "sgd"],
    "learning_rate_init": [1e-3, 1e-2, 1e-1],
}
#: A network with a lower accuracy has collapsed. Guessing has 0.1.
COLLAPSED = 0.5


def fitted(shape: tuple[int, ...], scaling: str, seed: int, fold: int, **changed) -> dict:
    """Return accuracy, time and warnings of one fit on one of five folds."""
    X, y = load_digits(return_X_y=True)
    folds = StratifiedKFold(5, shuffle=True, random_state=seed).split(X, y)
    train, test = list(folds)[fold]
    model = EqPropClassifier(shape, random_state=seed, **CLASSICAL | changed)
    model = make_pipeline(SCALERS[scaling](), model)
    started = time.process_time()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        model.fit(X[train], y[train])
    seconds = time.process_time() - started
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # samples that have not settled count as they are
        score = model.score(X[test], y[test])
    messages = sorted({str(warning.message).split(":")[0] for warning in caught})
    return {"score": score, "seconds": seconds, "messages": messages}


def main() -> None:
    parser = argument_parser(__doc__)
    parser.add_argument("--layers", type=int, nargs="*", default=[100])
    arguments = parser.parse_args()
    layers, rows = tuple(arguments.layers), []
    for scaling in SCALERS:
        runs = [fitted(layers, scaling, *pair) for pair in np.ndindex(N_SEEDS, 5)]
        scores = np.array([run["score"] for run in runs])
        messages = sorted({message for run in runs for message in run["messages"]})
        rows.append(
            [
                scaling,
                f"{scores.mean():.4f} ± {scores.std():.4f}",
                " ".join(f"{score:.4f}" for score in scores.reshape(-1, 5).mean(axis=1)),
                f"{np.mean([run['seconds'] for run in runs]):.1f}",
                "; ".join(messages) or "none",
            ]
        )
        print(rows[-1], flush=True)
    cells, silent = [], 0
    for values in itertools.product(*GRID.values()):
        cell = list(values)
        for scaling in SCALERS:
            run = fitted(layers, scaling, 0, 0, **dict(zip(GRID, values, strict=True)))
            silent += run["score"] < COLLAPSED and not run["messages"]
            cell.append(f"{run['score']:.3f}{' (warns)' if run['messages'] else ''}")
        cells.append(cell)
        print(cell, flush=True)
    head = ["inputs", "accuracy", "mean of each seed", "seconds", "warnings"]
    publish(
        "The network of 2017 (γ = 1) on digits",
        f"Hidden layers {layers}. Settings: {CLASSICAL}; the others are defaults. Processor time "
        "of one fit.",
        "## 5-fold cross-validation\n\n" + table(head, rows),
        "## Other losses, optimisers and learning rates\n\n"
        + table([*GRID, *SCALERS], cells)
        + f"\n\n{silent} fits with an accuracy below {COLLAPSED} did not warn.",
        output=arguments.output,
    )


if __name__ == "__main__":
    main()
