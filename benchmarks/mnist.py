"""Train on MNIST: named presets, test and training error, alignment of every layer.

    python benchmarks/mnist.py --data mnist.npz --seeds 0 1 2

Each run is written to ``benchmarks/results/mnist.json`` as soon as it ends, and the table
``benchmarks/results/mnist.md`` is rewritten from all runs in that file. So presets can be run one
by one. Hyperparameters were chosen on the last 10,000 training rows (``--validate`` trains on the
other 50,000 and scores on those). ``--choices`` runs the alternatives of some presets, on the same
rows, and writes ``mnist_choices.json`` and ``mnist_choices.md``.
"""

from __future__ import annotations

import argparse
import itertools
import json
import time
import warnings
from pathlib import Path

import numpy as np
from classical import CLASSICAL
from datasets import load_images
from environment import describe_environment
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import GridSearchCV, PredefinedSplit
from sklearn.neural_network import MLPClassifier

from sklearn_eqprop import EqPropClassifier
from sklearn_eqprop.diagnostics import gradient_alignment

RESULTS = Path(__file__).parent / "results"
NOTE = (
    "Labels are smoothed (`label_smoothing=0.1`) except in 8x256, Kolen-Pollack, the literal "
    "preset, presets with γ = 1, and MLPClassifier. "
    "The settings of each run are in `mnist.json`; `mnist_choices.md` compares some with others on "
    "held-out rows of the training set. Minutes are upper bounds: a clock on the wall, "
    "one thread, other programs beside it, some runs paused in between. Alignment is that of the "
    "update as training settles it, at the end, where little gradient is left; the mean of the "
    "seeds, layer by layer."
)
#: Alignment is measured on this many rows.
N_ALIGNMENT = 200
N_VALIDATION = 10_000

COMMON = {
    "nudging": "centered",
    "learning_rate_init": 1e-3,
    "learning_rate": "cosine",
    "n_iter_no_change": None,
    "batch_size": 100,
    "label_smoothing": 0.1,
    "max_iter": 30,
}
LITERAL = {
    "activation": "hard_sigmoid",
    "relaxation": "euler",
    "step_size": 0.5,
    "relax_tol": 1e-4,
    "nudging": "one_sided",
    "beta": 0.5,
    "loss": "squared_error",
    "feedback_init": "independent",
    "feedback_scale": 1.0,
    "feedback_learning": "local",
    "loop_gain": None,
    "layerwise_rescale": False,
    "optimizer": "sgd",
    "momentum": 0.0,
    "alpha": 0.0,
    "batch_size": 20,
    "n_iter_no_change": None,
}
#: Ways for error signals to travel, for every depth.
WAYS: dict[str, dict] = {
    "paper's rule, its own ΔB": {"feedback_learning": "local", "beta": 0.75},
    "Kolen-Pollack": {"beta": 0.75},
    "tied": {"feedback": "tied", "beta": 0.75},
    # Smaller than the default, so that a push takes no unit past a kink of its activation.
    "exact (asymmetric)": {"gradient": "asymmetric", "beta": 5e-3},
    "exact (recurrent backprop)": {"gradient": "recurrent_backprop"},
}
#: Strength of the penalty. Deeper networks need less; less does not hinder the last few rows.
ALPHAS = {"1x512": 1e-2, "2x512": 5e-3, "3x512": 2e-3, "8x256": 2e-3}
SQUARED = {"loss": "squared_error", "label_smoothing": 0.0}
#: Parameters that single presets need for a better result.
OVERRIDES: dict[str, dict] = {
    "1x512, Kolen-Pollack": {"nudging": "one_sided"},
    "8x256, Kolen-Pollack": SQUARED,
}
SHAPES = {"1x512": (512,), "2x512": (512, 512), "3x512": (512, 512, 512), "8x256": (256,) * 8}

PRESETS: dict[str, tuple[tuple[int, ...], dict]] = {
    f"{shape}, {way}": (
        layers,
        COMMON | {"alpha": ALPHAS[shape]} | settings | OVERRIDES.get(f"{shape}, {way}", {}),
    )
    for shape, layers in SHAPES.items()
    for way, settings in WAYS.items()
}
PRESETS["2x512, literal paper"] = (
    (512, 512),
    LITERAL
    | {"max_relax_iter": 60, "max_nudge_iter": 15, "max_iter": 10}
    # At (0.1, 0.1, 0.05) training diverges in the first epoch.
    | {"learning_rate_init": [0.03, 0.03, 0.015]},
)
#: The network of Scellier & Bengio (2017), by the settings of `classical.py`.
PRESETS |= {
    f"{shape}, tied with γ = 1": (
        SHAPES[shape],
        CLASSICAL | {"n_iter_no_change": None, "batch_size": 100, "max_iter": 30},
    )
    for shape in ("1x512", "2x512", "3x512")
}
MLPS: dict[str, tuple[tuple[int, ...], dict]] = {
    f"{shape}, MLPClassifier": (layers, {}) for shape, layers in SHAPES.items()
}
#: Learning rates and L2 penalties to search on the last training rows, with early stopping.
SEARCHED = {f"{name}, searched": MLPS[name] for name in MLPS}
SEARCH = {"learning_rate_init": [3e-4, 1e-3, 3e-3], "alpha": [1e-4, 1e-2]}


#: The alternatives that were tried for each preset; the first one was chosen.
CHOICES: dict[str, list[dict]] = {
    "1x512, Kolen-Pollack": [{}, {"label_smoothing": 0.0}, SQUARED, {"alpha": 1e-3}],
    "2x512, Kolen-Pollack": [{}, {"label_smoothing": 0.0}, {"beta": 0.9}],
    "3x512, Kolen-Pollack": [{}, {"alpha": 5e-3}],
    "8x256, Kolen-Pollack": [{}, {"loss": "log_loss", "label_smoothing": 0.1}],
}


def load(path: Path, *, validate: bool):
    x_train, y_train, x_test, y_test = load_images(path)
    if not validate:
        return x_train, y_train, x_test, y_test
    train, held_out = slice(None, -N_VALIDATION), slice(-N_VALIDATION, None)
    return x_train[train], y_train[train], x_train[held_out], y_train[held_out]


def run(name: str, seed: int, data, overrides: dict) -> dict:
    """Train one preset and measure it."""
    X, y, X_test, y_test = data
    is_ours = name in PRESETS
    layers, settings = (PRESETS | MLPS | SEARCHED)[name]
    kind = EqPropClassifier if is_ours else MLPClassifier
    model = kind(layers, random_state=seed, **settings | overrides)
    if name in SEARCHED:
        model = searched(model, len(X))
    started = time.perf_counter()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", ConvergenceWarning)
        model.fit(X, y)
        seconds = time.perf_counter() - started
        outcome = {
            "preset": name,
            "seed": seed,
            "settings": settings | overrides,
            "test_error": 100 * (1 - model.score(X_test, y_test)),
            "train_error": 100 * (1 - model.score(X, y)),
            "epochs": getattr(model, "best_estimator_", model).n_iter_,
            "minutes": seconds / 60,
            "environment": describe_environment(),
        }
        if name in SEARCHED:
            outcome["found"] = model.best_params_
        if is_ours:
            outcome["alignment"] = forward_alignment(model, X[:N_ALIGNMENT], y[:N_ALIGNMENT])
    outcome["warnings"] = sorted({str(warning.message).split(". ")[0] for warning in caught})
    return outcome


def searched(model: MLPClassifier, n_samples: int) -> GridSearchCV:
    """Search `SEARCH` with early stopping on the last training rows; then fit the best on all rows.

    Early stopping holds out a tenth of them.
    """
    fold = np.where(np.arange(n_samples) < n_samples - N_VALIDATION, -1, 0)
    model.set_params(early_stopping=True)
    return GridSearchCV(model, SEARCH, cv=PredefinedSplit(fold))


def forward_alignment(model: EqPropClassifier, X, y) -> list[float]:
    """Return the cosine of each forward block's update with the gradient, input side first."""
    blocks = gradient_alignment(model, X, y).blocks
    return [block.update_cosine for block in blocks if block.role == "forward"]


def table(runs: list[dict]) -> str:
    lines = [
        "| preset | test error % | training error % | epochs | minutes | alignment | seeds |",
        "|---|---|---|---|---|---|---|",
    ]
    for name in [*PRESETS, *MLPS, *SEARCHED]:
        mine = sorted((each for each in runs if each["preset"] == name), key=lambda r: r["seed"])
        if not mine:
            continue
        test, train = ([each[key] for each in mine] for key in ("test_error", "train_error"))
        of_layers = np.mean([each.get("alignment", []) for each in mine], axis=0)
        alignment = " ".join(f"{value:.3f}" for value in of_layers)
        each = " ".join(f"{error:.2f}" for error in test)
        lines.append(
            f"| {name} | **{np.mean(test):.2f}** ({each}) | {np.mean(train):.3f} "
            f"| {np.mean([m['epochs'] for m in mine]):.0f} "
            f"| {np.mean([m['minutes'] for m in mine]):.1f} | {alignment} | {len(mine)} |"
        )
        messages = sorted({message for m in mine for message in m["warnings"]})
        lines += [f"| — {message} | | | | | | |" for message in messages]
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="MNIST as an .npz file")
    parser.add_argument("--presets", nargs="*", help="names, or parts of names")
    parser.add_argument("--seeds", type=int, nargs="*", default=[0, 1, 2])
    parser.add_argument("--epochs", type=int)
    parser.add_argument("--validate", action="store_true", help="score on held-out training rows")
    parser.add_argument("--choices", action="store_true", help="run the alternatives of the choice")
    parser.add_argument("--results", type=Path, default=RESULTS / "mnist.json")
    parser.add_argument("--merge", type=Path, nargs="*", help="results of other runs, to add")
    arguments = parser.parse_args()
    wanted = [
        name
        for name in [*PRESETS, *MLPS, *SEARCHED]
        if not arguments.presets or any(part in name for part in arguments.presets)
    ]
    overrides = {} if arguments.epochs is None else {"max_iter": arguments.epochs}
    data = load(arguments.data, validate=arguments.validate or arguments.choices)
    if arguments.choices:
        chosen = [name for name in CHOICES if name in wanted]
        if not chosen or not arguments.seeds:
            parser.error(f"--choices knows {list(CHOICES)}, and needs a seed")
        compare_choices(chosen, arguments.seeds, data, overrides)
        return
    for name in wanted:
        for seed in arguments.seeds:
            outcome = run(name, seed, data, overrides)
            print(json.dumps(outcome, ensure_ascii=False), flush=True)
            if not arguments.validate:
                record(outcome, arguments.results)
    if arguments.merge:
        for path in arguments.merge:
            for outcome in json.loads(path.read_text()):
                record(outcome, arguments.results)


def compare_choices(names: list[str], seeds: list[int], data, overrides: dict) -> None:
    """Run every choice of some presets and write the table of their errors on held-out rows."""
    path = RESULTS / "mnist_choices.json"
    for name, seed in itertools.product(names, seeds):
        for instead in CHOICES[name]:
            outcome = run(name, seed, data, instead | overrides)
            what = ", ".join(f"{key}={value}" for key, value in instead.items())
            outcome["preset"] += f"; instead {what}" if what else "; chosen"
            print(json.dumps(outcome, ensure_ascii=False), flush=True)
            runs = record_run(outcome, path)
    lines = ["| preset | held-out error % | training error % | seeds |", "|---|---|---|---|"]
    for preset in sorted({each["preset"] for each in runs}):
        mine = [each for each in runs if each["preset"] == preset]
        test, train = (
            np.mean([each[key] for each in mine]) for key in ("test_error", "train_error")
        )
        lines.append(f"| {preset} | {test:.2f} | {train:.3f} | {len(mine)} |")
    head = f"# MNIST: choices, on the last {N_VALIDATION:,} training rows\n\n{environments(runs)}"
    path.with_suffix(".md").write_text("\n\n".join([head, "\n".join(lines)]) + "\n")


def record(outcome: dict, path: Path) -> None:
    """Add a run to the results and rewrite the table."""
    runs = record_run(outcome, path)
    text = f"# MNIST\n\n{environments(runs)}\n\n{NOTE}\n\n{table(runs)}\n"
    path.with_suffix(".md").write_text(text)


def environments(runs: list[dict]) -> str:
    """Describe the machines of the runs; if they differ, say which run used which machine."""
    presets: dict[str, set[str]] = {}
    for each in runs:
        presets.setdefault(each["environment"], set()).add(each["preset"])
    if len(presets) == 1:
        return next(iter(presets))
    return "\n\n".join(f"{'; '.join(sorted(of))}: {what}" for what, of in presets.items())


def record_run(outcome: dict, path: Path) -> list[dict]:
    """Add a run to a file of runs, in place of an earlier one of the same preset and seed.

    Runs of the preset with other settings are removed, so that means are over equal settings.
    """
    runs = json.loads(path.read_text()) if path.exists() else []
    runs = [
        each
        for each in runs
        if each["preset"] != outcome["preset"]
        or (each["seed"] != outcome["seed"] and each.get("settings") == outcome.get("settings"))
    ]
    runs.append(outcome)
    path.write_text(json.dumps(runs, indent=1, ensure_ascii=False) + "\n")
    return runs


if __name__ == "__main__":
    main()
