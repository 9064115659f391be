"""Train convolutional networks on MNIST and Fashion-MNIST: named presets, errors, time.

    python benchmarks/mnist_conv.py --data mnist.npz --seeds 0 1
    python benchmarks/mnist_conv.py --data fashion.npz --presets fashion

Each run is written to ``benchmarks/results/mnist_conv.json`` as soon as it ends, and the table
``benchmarks/results/mnist_conv.md`` is rewritten from all runs in that file. So presets can be run
one by one. Progress and the time left are printed after every epoch. ``--validate`` trains
without the last 10,000 training rows and scores on those. The learning rate, and the range that
kernels start from, were chosen by three epochs on the first 8,000 training rows, scored on 3,000 of
the last 10,000; everything else is at its default. Nothing was chosen on test rows.
"""

from __future__ import annotations

import argparse
import json
import resource
import time
import warnings
from pathlib import Path

import numpy as np
from environment import describe_environment
from mnist import forward_alignment, load, record_run
from sklearn.exceptions import ConvergenceWarning

from sklearn_eqprop import Conv2D, EqPropClassifier

RESULTS = Path(__file__).parent / "results"
N_ALIGNMENT = 100

COMMON = {
    "input_shape": (28, 28),
    "batch_size": 100,
    "learning_rate_init": 3e-3,
    "learning_rate": "cosine",
    "n_iter_no_change": None,
}
#: The paper's: 5x5 kernels, 32 and 64 maps, ReLU, untied weights, its two-phase rule.
PAPER = (Conv2D(32, 5, pool=2), Conv2D(64, 5, pool=2), 128)
#: The same with average pooling, which takes less time.
AVERAGED = (
    Conv2D(32, 5, pool=2, pooling="average"),
    Conv2D(64, 5, pool=2, pooling="average"),
    128,
)

#: name -> (data set, hidden layers, other parameters)
PRESETS: dict[str, tuple[str, tuple, dict]] = {
    "mnist, paper's layers, vector field": ("mnist", PAPER, COMMON | {"max_iter": 8}),
    "mnist, paper's layers averaged, vector field": ("mnist", AVERAGED, COMMON | {"max_iter": 12}),
    "fashion, paper's layers averaged": ("fashion", AVERAGED, COMMON | {"max_iter": 15}),
}


def run(name: str, seed: int, data, overrides: dict) -> dict:
    """Train one preset and measure it."""
    X, y, X_test, y_test = data
    _, layers, settings = PRESETS[name]
    model = EqPropClassifier(layers, random_state=seed, verbose=True, **settings | overrides)
    started = time.perf_counter()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", ConvergenceWarning)
        model.fit(X, y)
        seconds = time.perf_counter() - started
        outcome = {
            "preset": name,
            "seed": seed,
            "layers": repr(layers),
            "test_error": 100 * (1 - model.score(X_test, y_test)),
            "train_error": 100 * (1 - model.score(X[:10_000], y[:10_000])),
            "epochs": model.n_iter_,
            "minutes": seconds / 60,
            "peak_gb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20,
            "alignment": forward_alignment(model, X[:N_ALIGNMENT], y[:N_ALIGNMENT]),
        }
    outcome["warnings"] = sorted({str(warning.message).split(".")[0] for warning in caught})
    return outcome


def table(runs: list[dict]) -> str:
    lines = [
        "| preset | test error % | training error % | epochs | minutes | peak GB | alignment |",
        "|---|---|---|---|---|---|---|",
    ]
    for name in PRESETS:
        mine = [each for each in runs if each["preset"] == name]
        if not mine:
            continue
        each = " ".join(f"{run['test_error']:.2f}" for run in mine)

        def mean(key, mine=mine):
            return np.mean([run[key] for run in mine])

        alignment = " ".join(f"{value:.3f}" for value in mine[0]["alignment"])
        lines.append(
            f"| {name} | **{mean('test_error'):.2f}** ({each}) | {mean('train_error'):.3f} "
            f"| {mean('epochs'):.0f} | {mean('minutes'):.0f} | {mean('peak_gb'):.2f} "
            f"| {alignment} |"
        )
        lines += [f"| — {mine[0]['layers']} | | | | | | |"]
        messages = sorted({message for run in mine for message in run["warnings"]})
        lines += [f"| — {message} | | | | | | |" for message in messages]
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="MNIST or Fashion as an .npz file")
    parser.add_argument("--presets", nargs="*", help="names, or parts of names")
    parser.add_argument("--seeds", type=int, nargs="*", default=[0, 1])
    parser.add_argument("--epochs", type=int)
    parser.add_argument("--validate", action="store_true", help="score on held-out training rows")
    parser.add_argument("--results", type=Path, default=RESULTS / "mnist_conv.json")
    parser.add_argument("--merge", type=Path, nargs="*", help="results of other runs, to add")
    arguments = parser.parse_args()
    of_this_data = [name for name in PRESETS if PRESETS[name][0] in arguments.data.stem]
    wanted = [
        name
        for name in of_this_data
        if not arguments.presets or any(part in name for part in arguments.presets)
    ]
    overrides = {} if arguments.epochs is None else {"max_iter": arguments.epochs}
    data = load(arguments.data, validate=arguments.validate)
    for name in wanted:
        for seed in arguments.seeds:
            outcome = run(name, seed, data, overrides)
            print(json.dumps(outcome, ensure_ascii=False), flush=True)
            if not arguments.validate:
                record(outcome, arguments.results)
    for path in arguments.merge or []:
        for outcome in json.loads(path.read_text()):
            record(outcome, arguments.results)


def record(outcome: dict, path: Path) -> None:
    """Add a run to the results and rewrite the table."""
    runs = record_run(outcome, path)
    text = (
        f"# MNIST and Fashion-MNIST, convolutional\n\n{describe_environment()}\n\n"
        f"Training error: of the first 10,000 training rows. Minutes: of the fit alone.\n\n"
        f"{table(runs)}\n"
    )
    path.with_suffix(".md").write_text(text)


if __name__ == "__main__":
    main()
