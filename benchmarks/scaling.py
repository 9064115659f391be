"""Measure how the time of training grows with width, depth, minibatch and tolerance.

    python benchmarks/scaling.py --output benchmarks/results/scaling.md

Inputs and labels are random. One update of a network at the start of training is timed, and the
same for scikit-learn's MLP. The script writes a table, the slopes on logarithmic axes and, beside
the table, a picture of them (needs matplotlib).
"""

from __future__ import annotations

import argparse
import time
import warnings
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from environment import describe_environment
from sklearn.exceptions import ConvergenceWarning
from sklearn.neural_network import MLPClassifier

from sklearn_eqprop import EqPropClassifier

N_FEATURES = 784
CLASSES = np.arange(10)
#: The sweeps: axis, values, hidden layers and parameters at each value.
SWEEPS = {
    "width (2 hidden layers)": ([128, 256, 512, 1024, 2048, 4096], lambda n: ((n, n), {})),
    "depth (hidden layers of 256)": ([1, 2, 4, 8], lambda n: ((256,) * n, {})),
    "minibatch (512, 512)": ([1, 8, 32, 128, 512, 2048], lambda n: ((512, 512), {"rows": n})),
    "tolerance (512, 512)": (
        [1e-1, 1e-2, 1e-3, 1e-4, 1e-5],
        lambda tolerance: ((512, 512), {"relax_tol": tolerance}),
    ),
}


@dataclass
class Cost:
    """One point of a curve: milliseconds per update of each side, and mean sweeps of ours."""

    value: float
    ours: float
    mlp: float
    free_sweeps: float
    nudged_sweeps: float


def update_cost(hidden, *, rows: int = 128, repeats: int, **settings) -> tuple[float, ...]:
    """Return the median milliseconds of an update in a longer pass; fixed costs do not count."""
    rng, n_updates = np.random.RandomState(0), 6
    X = rng.standard_normal((n_updates * rows, N_FEATURES)).astype(np.float32)
    y = rng.randint(10, size=len(X))
    y[:10] = CLASSES[: len(y[:10])]
    models = [
        EqPropClassifier(hidden, batch_size=rows, random_state=0, **settings),
        MLPClassifier(hidden, batch_size=rows, random_state=0),
    ]
    times: list[list[float]] = [[], []]
    for repeat in range(repeats + 1):
        for model, passed in zip(models, times, strict=True):
            started = time.perf_counter()
            model.partial_fit(X, y, classes=CLASSES)
            if repeat:  # the first pass starts the network
                passed.append(1e3 * (time.perf_counter() - started) / n_updates)
    record = models[0].relaxation_
    return (
        *(float(np.median(passed)) for passed in times),
        record["free_steps"][-1],
        record["nudged_steps"][-1],
    )


def slope(points: list[Cost], side: str) -> float:
    """Return the exponent of the growth over the upper half of the curve."""
    upper = points[len(points) // 2 :]
    values = np.log([point.value for point in upper])
    return float(np.polyfit(values, np.log([getattr(point, side) for point in upper]), 1)[0])


def draw(path: Path, curves: dict[str, list[Cost]]) -> None:
    import matplotlib as mpl

    mpl.use("Agg")
    import matplotlib.pyplot as plt
    from matplotlib.ticker import LogLocator

    figure, axes = plt.subplots(1, len(curves), figsize=(15, 3.8), layout="constrained")
    for axis, (name, points) in zip(axes, curves.items(), strict=True):
        values = [point.value for point in points]
        for side, label in (("ours", "equilibrium propagation"), ("mlp", "MLPClassifier")):
            axis.loglog(values, [getattr(point, side) for point in points], "o-", label=label)
        axis.set(xlabel=name, ylabel="ms an update")
        axis.set_xticks(values, [f"{value:g}" for value in values])
        axis.minorticks_off()
        axis.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axis.yaxis.set_major_formatter("{x:g}")
        if name.startswith("tolerance"):
            axis.invert_xaxis()
        axis.grid(alpha=0.3)
    axes[0].legend()
    figure.savefig(path, dpi=110)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--output", type=Path)
    arguments = parser.parse_args()
    warnings.simplefilter("ignore", ConvergenceWarning)  # random labels
    warnings.simplefilter("ignore", UserWarning)
    lines = ["# How the cost of an update grows", "", describe_environment(), ""]
    curves: dict[str, list[Cost]] = {}
    for name, (values, settings_at) in SWEEPS.items():
        lines += [
            f"## {name}",
            "",
            "| value | ours, ms | MLP, ms | ratio | sweeps, free + nudged |",
            "|---|---|---|---|---|",
        ]
        points = curves[name] = []
        for value in values:
            hidden, settings = settings_at(value)
            point = Cost(value, *update_cost(hidden, repeats=arguments.repeats, **settings))
            points.append(point)
            lines.append(
                f"| {value:g} | {point.ours:.2f} | {point.mlp:.2f} | {point.ours / point.mlp:.2f} "
                f"| {point.free_sweeps:.1f} + {point.nudged_sweeps:.1f} |"
            )
            print(lines[-1], flush=True)
        slopes = ", ".join(
            f"{label} {slope(points, side):.2f}"
            for side, label in (("ours", "ours"), ("mlp", "MLP"))
        )
        lines += ["", f"Exponent over the upper half: {slopes}.", ""]
    if arguments.output:
        arguments.output.write_text("\n".join(lines).rstrip() + "\n")
        draw(arguments.output.with_suffix(".png"), curves)


if __name__ == "__main__":
    main()
