"""Train MNIST as the paper does, to the letter, and follow how feedback comes to align.

    python benchmarks/paper.py --data mnist.npz --presets 2x512 --minutes 170

All units, the outputs too, are hard sigmoids in [0, 1]. F and B start at independent Glorot draws.
The loss is the squared error, nudging is one-sided, and plain SGD with one rate per layer makes one
update at the end of the nudged phase of 20 samples (Scellier et al. 2018, appendix C).

Training continues from the checkpoint of its preset, if there is one, and writes it after every
epoch. So a run may take several calls: each stops after ``--epochs`` or ``--minutes``. The learning
curves are in ``benchmarks/results/paper.json``, and the tables in ``paper.md``. ``--validate``
trains on the first 50,000 rows and scores on the other 10,000: for choices, without a record.
"""

from __future__ import annotations

import argparse
import json
import os
import time
import warnings
from pathlib import Path
from typing import Any

import joblib
import numpy as np
from datasets import load_images
from environment import describe_environment
from report import table
from sklearn.exceptions import ConvergenceWarning

from sklearn_eqprop import EqPropClassifier
from sklearn_eqprop.diagnostics import good_parameter

RESULTS = Path(__file__).parent / "results"
#: Rows of the training set on which dJ/dθ · ν is measured, and to which ``--validate`` leaves all
#: others.
N_MEASURED, N_TRAINED = 100, 50_000
#: A residual that decides nearly every label; scoring settles no further.
SCORED_AT = 1e-3
TO_THE_LETTER = {
    "activation": "hard_sigmoid",
    "output_activation": "hard_sigmoid",
    "loss": "squared_error",
    "feedback_init": "independent",
    "feedback_learning": "local",
    "feedback_scale": 1.0,
    "loop_gain": None,
    "layerwise_rescale": False,
    "nudging": "one_sided",
    "beta": 1.0,
    "optimizer": "sgd",
    "momentum": 0.0,
    "alpha": 0.0,
    "batch_size": 20,
}
#: Parameters of which each preset has its own.
OWN = ("learning_rate_init", "relaxation", "step_size")
#: Hidden layers and what differs from `TO_THE_LETTER`; the rates are of the layers, input first.
PRESETS: dict[str, tuple[tuple[int, ...], dict[str, Any]]] = {
    "2x512": ((512, 512), {"learning_rate_init": [0.1, 0.04, 0.02]}),
    "3x512": ((512, 512, 512), {"learning_rate_init": [0.1, 0.04, 0.04, 0.02]}),
}
PRESETS |= {
    f"{name}, Euler": (layers, settings | {"relaxation": "euler", "step_size": 0.5})
    for name, (layers, settings) in PRESETS.items()
}


def new_model(name: str, X: np.ndarray, y: np.ndarray, seed: int) -> EqPropClassifier:
    """Return the classifier of a preset with the full range of Glorot's weights, untrained."""
    layers, settings = PRESETS[name]
    model = EqPropClassifier(layers, random_state=seed, **TO_THE_LETTER | settings)
    # One update at no rate makes the network, whose arrays can then be replaced.
    model.set_params(learning_rate_init=1e-30).partial_fit(X[:20], y[:20], classes=np.unique(y))
    model.set_params(**{"learning_rate_init": settings["learning_rate_init"]})
    rng = np.random.RandomState(seed)
    model.coefs_ = [glorot(weights.shape, rng) for weights in model.coefs_]
    model.feedback_coefs_ = [glorot(weights.shape, rng) for weights in model.feedback_coefs_]
    model.intercepts_ = [np.zeros_like(bias) for bias in model.intercepts_]
    return model


def glorot(shape: tuple[int, int], rng: np.random.RandomState) -> np.ndarray:
    """Return a uniform draw with the variance 2 / (n_source + n_target)."""
    bound = np.sqrt(6 / sum(shape))
    return rng.uniform(-bound, bound, size=shape).astype(np.float32)


def error(model: EqPropClassifier, X: np.ndarray, y: np.ndarray) -> float:
    """Return the share of wrong labels, in percent."""
    tolerance = model.relax_tol
    model.set_params(relax_tol=SCORED_AT)
    wrong = 100 * (1 - model.score(X, y))
    model.set_params(relax_tol=tolerance)
    return wrong


def alignment(model: EqPropClassifier) -> tuple[list[float], list[float]]:
    """Return tr(F B) of each pair of layers that drive each other, and its cosine."""
    pairs = list(zip(model.coefs_[1:], model.feedback_coefs_, strict=True))
    traces = [float((F.T * B).sum()) for F, B in pairs]
    sizes = [float(np.linalg.norm(F) * np.linalg.norm(B)) for F, B in pairs]
    return traces, [trace / size for trace, size in zip(traces, sizes, strict=True)]


def measured(model: EqPropClassifier, data: tuple[np.ndarray, ...]) -> dict[str, Any]:
    """Return the errors, and whether θ is a good parameter on some training rows."""
    X, y, X_test, y_test = data
    good = good_parameter(model, X[:N_MEASURED], y[:N_MEASURED], n_starts=1)
    return {
        "train_error": error(model, X, y),
        "test_error": error(model, X_test, y_test),
        "slope": good.slope,
        "settled_starts": good.converged,
    }


def one_epoch(model: EqPropClassifier, data: tuple[np.ndarray, ...], every: int) -> dict[str, Any]:
    """Train for an epoch; return its record, with `measured` in every so many epochs."""
    started = time.perf_counter()
    cpu = time.process_time()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # the record has what they would say
        model.partial_fit(*data[:2])
    epoch = len(model.loss_curve_)
    traces, cosines = alignment(model)
    record = {
        "epoch": epoch - 1,  # the network was made by an epoch of one update
        "loss": model.loss_,
        **{name: values[-1] for name, values in model.relaxation_.items()},
        "traces": traces,
        "cosines": cosines,
        "minutes": (time.perf_counter() - started) / 60,
        "cpu_minutes": (time.process_time() - cpu) / 60,
    }
    if record["epoch"] % every == 0 or record["epoch"] == 1:
        record |= measured(model, data)
    return record


def learned(curve: list[dict]) -> bool:
    """Return whether the training error was 0.00 % when it was measured last."""
    errors = [epoch["train_error"] for epoch in curve if "train_error" in epoch]
    return bool(errors) and errors[-1] < 0.005


def train(name: str, seed: int, data: tuple[np.ndarray, ...], arguments: Any) -> None:
    """Continue a preset from its checkpoint, if there is one, until all training rows are right."""
    path = arguments.checkpoints / f"paper {name} {seed}.joblib"
    curve: list[dict[str, Any]] = []
    if path.exists():
        model, curve = joblib.load(path)
    else:
        model = new_model(name, *data[:2], seed)
    stop = time.perf_counter() + 60 * arguments.minutes
    path.parent.mkdir(parents=True, exist_ok=True)
    while len(curve) < arguments.epochs and time.perf_counter() < stop and not learned(curve):
        curve.append(one_epoch(model, data, arguments.every))
        joblib.dump((model, curve), path.with_suffix(".new"))
        os.replace(path.with_suffix(".new"), path)  # no half-written checkpoint
        print(name, seed, json.dumps(curve[-1]), flush=True)
    if curve and not arguments.validate:
        settings = {parameter: getattr(model, parameter) for parameter in (*TO_THE_LETTER, *OWN)}
        record(f"{name}, seed {seed}", settings, curve, arguments.results)


def record(title: str, settings: dict, curve: list[dict], path: Path) -> None:
    """Add a learning curve to the results, and rewrite the tables."""
    runs = json.loads(path.read_text()) if path.exists() else {}
    environment = describe_environment()
    runs[title] = {"settings": settings, "environment": environment, "curve": curve}
    path.write_text(json.dumps(dict(sorted(runs.items())), indent=1) + "\n")
    parts = ["# The paper, to the letter", *sorted({run["environment"] for run in runs.values()})]
    parts.append("A run is finished when its training error is 0.00 %; until then it continues.")
    for title, run in sorted(runs.items()):
        total = sum(epoch["minutes"] for epoch in run["curve"])
        cpu = sum(epoch["cpu_minutes"] for epoch in run["curve"])
        rates = run["settings"]["learning_rate_init"]
        parts += [
            f"## {title}",
            f"Learning rates {rates}, β = {run['settings']['beta']:g}. {len(run['curve'])} epochs "
            f"in {total:.0f} minutes, of which {cpu:.0f} minutes of one core.",
            curve_table(run["curve"]),
        ]
    path.with_suffix(".md").write_text("\n\n".join(parts) + "\n")


def curve_table(curve: list[dict]) -> str:
    """Return the table of the epochs that were measured."""
    head = ["epoch", "loss", "training error %", "test error %", "free, nudged phases settled %"]
    head += ["tr(F B), input side first", "its cosine", "dJ/dθ · ν"]
    rows = [
        [
            epoch["epoch"],
            f"{epoch['loss']:.4f}",
            f"{epoch['train_error']:.2f}",
            f"{epoch['test_error']:.2f}",
            " ".join(f"{100 * (1 - epoch[f'{p}_unconverged']):.2f}" for p in ("free", "nudged")),
            " ".join(f"{trace:.3g}" for trace in epoch["traces"]),
            " ".join(f"{cosine:.3f}" for cosine in epoch["cosines"]),
            f"{epoch['slope']:.2e}",
        ]
        for epoch in curve
        if "train_error" in epoch
    ]
    return table(head, rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="MNIST as an .npz file")
    parser.add_argument("--presets", nargs="*", choices=PRESETS, default=["2x512", "3x512"])
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--epochs", type=int, default=300, help="all epochs, earlier ones included")
    parser.add_argument("--minutes", type=float, default=170, help="most minutes of this call")
    parser.add_argument("--every", type=int, default=5, help="epochs between measurements")
    parser.add_argument("--checkpoints", type=Path, default=RESULTS / "checkpoints")
    parser.add_argument("--results", type=Path, default=RESULTS / "paper.json")
    parser.add_argument("--validate", action="store_true", help="score on held-out training rows")
    arguments = parser.parse_args()
    data = load_images(arguments.data)
    if arguments.validate:
        X, y = data[:2]
        data = (X[:N_TRAINED], y[:N_TRAINED], X[N_TRAINED:], y[N_TRAINED:])
    for name in arguments.presets:
        train(name, arguments.seed, data, arguments)


if __name__ == "__main__":
    main()
