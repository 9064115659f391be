"""Cross-validate a small convolutional network on digits, beside the dense default (5-fold).

    python benchmarks/digits_conv.py

The preset was chosen on folds drawn with another seed. The output is written to
``benchmarks/results/digits_conv.md``.
"""

from __future__ import annotations

import argparse
import warnings
from pathlib import Path

import numpy as np
from environment import describe_environment
from sklearn.datasets import load_digits
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import StratifiedKFold, cross_val_score

from sklearn_eqprop import Conv2D, EqPropClassifier

RESULTS = Path(__file__).parent / "results" / "digits_conv.md"
CONV = {
    "hidden_layer_sizes": (Conv2D(32, 3, padding="same"), Conv2D(64, 3, pool=2), 64),
    "input_shape": (8, 8),
    "batch_size": 50,
    "learning_rate": "cosine",
    "n_iter_no_change": None,
    "max_iter": 30,
}
PRESETS = {
    "dense default, (100,)": {},
    "convolutional": CONV,
}


def scores(settings: dict, seeds: list[int]) -> np.ndarray:
    """Return the accuracy of every fold, for every seed of the network."""
    X, y = load_digits(return_X_y=True)
    X = (X / 16).astype(np.float32)
    folds = StratifiedKFold(5, shuffle=True, random_state=0)
    found = [
        cross_val_score(EqPropClassifier(random_state=seed, **settings), X, y, cv=folds)
        for seed in seeds
    ]
    return np.array(found)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, nargs="*", default=[0, 1])
    parser.add_argument("--output", type=Path, default=RESULTS)
    arguments = parser.parse_args()
    lines = [
        "# Digits, 5-fold",
        "",
        describe_environment(),
        "",
        "Pixels divided by 16; accuracy, mean over the folds for each seed of the network.",
        "",
        "| preset | accuracy | each seed | worst fold |",
        "|---|---|---|---|",
    ]
    for name, settings in PRESETS.items():
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            found = scores(settings, arguments.seeds)
        each = " ".join(f"{score:.4f}" for score in found.mean(axis=1))
        lines.append(f"| {name} | **{found.mean():.4f}** | {each} | {found.min():.3f} |")
        print(lines[-1], flush=True)
    lines += ["", f"The convolutional layers: `{CONV['hidden_layer_sizes']}`.", ""]
    arguments.output.write_text("\n".join(lines))


if __name__ == "__main__":
    main()
