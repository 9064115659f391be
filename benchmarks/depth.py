"""Train deep networks by default: accuracy and processor time next to MLP's.

    python benchmarks/depth.py digits starts noise
    python benchmarks/depth.py mnist --data mnist.npz

Every part writes ``benchmarks/results/depth.json`` and rewrites ``benchmarks/results/depth.md``
from all that is in that file.

- ``digits``: 4 to 20 hidden layers of 64, 60 epochs.
- ``starts``: the same with 8 and 20 hidden layers and one part of the defaults changed.
- ``noise``: 20 % of the training labels are drawn anew; three strengths of the penalty.
- ``mnist``: 32 and 64 hidden layers of 128. Choices were made on the first 5,000 training rows, and
  judged on the last 10,000. The test rows are only used here.
"""

from __future__ import annotations

import argparse
import json
import time
import warnings
from pathlib import Path

import numpy as np
from datasets import load_images
from report import publish, table
from sklearn.datasets import load_digits
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import train_test_split
from sklearn.neural_network import MLPClassifier
from sklearn.preprocessing import StandardScaler

from sklearn_eqprop import EqPropClassifier
from sklearn_eqprop._estimators.fitting import fit as fitting
from sklearn_eqprop._network import layered_wiring

RESULTS = Path(__file__).parent / "results"
STORE = RESULTS / "depth.json"
OURS, MLP, MLP_FAST = "ours", "MLP", "MLP at our learning rate"
RATE = EqPropClassifier().learning_rate_init
DEPTHS = (4, 8, 12, 20)
N_EPOCHS = 60
#: Epochs of the MNIST networks, of at most 200 by default.
MNIST_EPOCHS = 20


def digits(seed: int) -> list[np.ndarray]:
    """Return standardised training and test rows, and their labels."""
    X, y = load_digits(return_X_y=True)
    X_train, X_test, y_train, y_test = train_test_split(
        X, y, test_size=0.25, stratify=y, random_state=seed
    )
    scaler = StandardScaler().fit(X_train)
    return [scaler.transform(X_train), scaler.transform(X_test), y_train, y_test]


def measured(model, X_train, X_test, y_train, y_test) -> dict:
    """Fit a model; return its accuracy, seconds of the processor, and epochs."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        started = time.process_time()
        model.fit(X_train, y_train)
        seconds = time.process_time() - started
    accuracy = model.score(X_test, y_test)
    return {"accuracy": accuracy, "seconds": seconds, "epochs": model.n_iter_}


def run_digits(seeds: int) -> list[dict]:
    runs = []
    for seed in range(seeds):
        for depth in DEPTHS:
            common = {"max_iter": N_EPOCHS, "random_state": seed}
            models = {
                OURS: EqPropClassifier((64,) * depth, **common),
                MLP: MLPClassifier((64,) * depth, **common),
                MLP_FAST: MLPClassifier((64,) * depth, learning_rate_init=RATE, **common),
            }
            for name, model in models.items():
                found = measured(model, *digits(seed))
                runs.append({"model": name, "depth": depth, "seed": seed, **found})
                print(runs[-1], flush=True)
    return runs


def orthogonal(rng: np.random.RandomState, n: int) -> np.ndarray:
    return np.linalg.qr(rng.standard_normal((n, n)))[0]


def looks_linear(rng: np.random.RandomState, n: int) -> np.ndarray:
    half = orthogonal(rng, n // 2)
    return np.block([[half, -half], [-half, half]])


#: Weights between hidden layers of n units that are used instead of the default's.
STARTS = {
    "half of Glorot's range (before)": lambda rng, n: (
        0.5 * np.sqrt(3 / n) * rng.uniform(-1, 1, (n, n))
    ),
    "He": lambda rng, n: np.sqrt(6 / n) * rng.uniform(-1, 1, (n, n)),
    "orthogonal": lambda rng, n: np.sqrt(2) * orthogonal(rng, n),
    "looks linear": looks_linear,
    "identity + Glorot's range": lambda rng, n: (
        np.eye(n) + np.sqrt(3 / n) * rng.uniform(-1, 1, (n, n))
    ),
    "identity": lambda rng, n: np.eye(n),
}


def starting_from(start, draw):
    """Return a function like `draw` whose weights between hidden layers come from `start`."""

    def weights(sizes, wiring, *, feedback_scale, rng, **settings):
        coefs, intercepts, feedback = draw(
            sizes, wiring, feedback_scale=feedback_scale, rng=rng, **settings
        )
        for layer in range(1, len(coefs) - 1):
            coefs[layer][...] = start(rng, sizes[layer])
            feedback[layer - 1][...] = feedback_scale * coefs[layer].T
        if start is looks_linear:
            half = coefs[0][:, : sizes[1] // 2]
            coefs[0][...] = np.hstack([half, -half])
        return coefs, intercepts, feedback

    return weights


def run_starts(seeds: int) -> list[dict]:
    runs = []
    for depth in (8, 20):
        rates = [RATE] * len(layered_wiring(depth + 1).forward)
        changes: dict[str, dict] = {
            "nothing": {},
            "loop_gain=0.2": {"loop_gain": 0.2},
            "one learning rate for all layers": {"learning_rate_init": rates},
            **{f"start: {name}": {} for name in STARTS},
        }
        for change, parameters in changes.items():
            for seed in range(seeds):
                model = EqPropClassifier(
                    (64,) * depth, max_iter=N_EPOCHS, random_state=seed, **parameters
                )
                draw = fitting.initial_weights
                if change.startswith("start: "):
                    fitting.initial_weights = starting_from(STARTS[change[7:]], draw)
                try:
                    found = measured(model, *digits(seed))
                finally:
                    fitting.initial_weights = draw
                runs.append({"change": change, "depth": depth, "seed": seed, **found})
                print(runs[-1], flush=True)
    return runs


def run_noise(seeds: int) -> list[dict]:
    runs = []
    for depth in (4, 8):
        for alpha in ("auto", 3.0, 10.0):
            for seed in range(seeds):
                X, X_test, y, y_test = digits(seed)
                rng = np.random.RandomState(seed)
                drawn_anew = rng.rand(len(y)) < 0.2
                y[drawn_anew] = rng.randint(10, size=drawn_anew.sum())
                model = EqPropClassifier(
                    (64,) * depth, alpha=alpha, max_iter=N_EPOCHS, random_state=seed
                )
                found = measured(model, X, X_test, y, y_test)
                runs.append({"alpha": alpha, "depth": depth, "seed": seed, **found})
                print(runs[-1], flush=True)
    return runs


def run_mnist(path: Path, epochs: int, depths: list[int]) -> list[dict]:
    X, y, X_test, y_test = load_images(path)
    runs = []
    for depth in depths:
        model = EqPropClassifier((128,) * depth, max_iter=epochs, random_state=0)
        found = measured(model, X, X_test, y, y_test)
        found["train_accuracy"] = model.score(X, y)
        runs.append({"depth": depth, **found})
        print(runs[-1], flush=True)
    return runs


def mean(runs: list[dict], what: str) -> float:
    return float(np.mean([run[what] for run in runs]))


def of_digits(runs: list[dict]) -> str:
    rows = []
    for depth in DEPTHS:
        ours, *others = (
            [run for run in runs if (run["model"], run["depth"]) == (name, depth)]
            for name in (OURS, MLP, MLP_FAST)
        )
        row = [depth]
        for group in (ours, *others):
            worst = min(run["accuracy"] for run in group)
            row += [f"{mean(group, 'accuracy'):.3f}", f"{worst:.3f}"]
        seconds = [mean(group, "seconds") for group in (ours, *others)]
        row += [f"{each:.2f}" for each in seconds]
        row += [f"{seconds[0] / each:.1f}" for each in seconds[1:]]
        rows.append(row)
    head = ["hidden layers", "ours", "worst", "MLP", "worst", "MLP, our rate", "worst"]
    head += ["s", "s, MLP", "s, MLP, our rate", "times MLP", "times MLP, our rate"]
    n_seeds = len({run["seed"] for run in runs})
    text = (
        f"Hidden layers of 64 units, at most {N_EPOCHS} epochs, a quarter of the rows held out, "
        f"columns standardised, mean accuracy and processor seconds over {n_seeds} seeds."
    )
    return f"## Digits\n\n{text}\n\n{table(head, rows)}"


def of_starts(runs: list[dict]) -> str:
    rows = []
    for change in dict.fromkeys(run["change"] for run in runs):
        row = [change]
        for depth in (8, 20):
            group = [run for run in runs if (run["change"], run["depth"]) == (change, depth)]
            row += [f"{mean(group, 'accuracy'):.3f}", f"{mean(group, 'seconds'):.1f}"]
        rows.append(row)
    head = ["changed", "8 layers", "s", "20 layers", "s"]
    n_seeds = len({run["seed"] for run in runs})
    text = f"One part of the defaults changed at a time. Digits as above, {n_seeds} seeds."
    return f"## Parts\n\n{text}\n\n{table(head, rows)}"


def of_noise(runs: list[dict]) -> str:
    rows = []
    for alpha in dict.fromkeys(run["alpha"] for run in runs):
        groups = (
            [run for run in runs if (run["alpha"], run["depth"]) == (alpha, depth)]
            for depth in (4, 8)
        )
        rows.append([repr(alpha), *(f"{mean(group, 'accuracy'):.3f}" for group in groups)])
    n_seeds = len({run["seed"] for run in runs})
    text = f"Digits as above, 20 % of the training labels drawn anew, {n_seeds} seeds."
    return f"## Noisy labels\n\n{text}\n\n{table(['alpha', '4 layers', '8 layers'], rows)}"


def of_mnist(runs: list[dict]) -> str:
    rows = [
        [
            run["depth"],
            f"{100 * (1 - run['accuracy']):.2f}",
            f"{100 * (1 - run['train_accuracy']):.2f}",
            run["epochs"],
            f"{run['seconds'] / run['epochs']:.1f}",
        ]
        for run in runs
    ]
    head = ["hidden layers", "test error %", "training error %", "epochs", "s per epoch"]
    text = (
        "Hidden layers of 128 units, all 60,000 rows, pixels between 0 and 1, one seed. Only the "
        "sizes and `max_iter` differ from the defaults. Seconds are those of the processor."
    )
    return f"## MNIST\n\n{text}\n\n{table(head, rows)}"


PARTS = {"digits": of_digits, "starts": of_starts, "noise": of_noise, "mnist": of_mnist}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("parts", nargs="+", choices=PARTS)
    parser.add_argument("--data", type=Path, help="MNIST as .npz, for the part mnist")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--epochs", type=int, default=MNIST_EPOCHS, help="of the part mnist")
    parser.add_argument("--layers", type=int, nargs="+", default=[32, 64], help="of the part mnist")
    arguments = parser.parse_args()
    if "mnist" in arguments.parts and arguments.data is None:
        parser.error("the part mnist needs --data")
    for part in arguments.parts:
        if part == "digits":
            found = run_digits(arguments.seeds)
        elif part == "starts":
            found = run_starts(min(arguments.seeds, 3))
        elif part == "noise":
            found = run_noise(min(arguments.seeds, 3))
        else:
            found = run_mnist(arguments.data, arguments.epochs, arguments.layers)
        stored = json.loads(STORE.read_text()) if STORE.exists() else {}
        if part == "mnist":
            others = [run for run in stored.get(part, []) if run["depth"] not in arguments.layers]
            found = sorted(others + found, key=lambda run: run["depth"])
        stored[part] = found
        STORE.write_text(json.dumps(stored, indent=1) + "\n")
        texts = [show(stored[name]) for name, show in PARTS.items() if name in stored]
        publish("Deep networks", *texts, output=RESULTS / "depth.md")


if __name__ == "__main__":
    main()
