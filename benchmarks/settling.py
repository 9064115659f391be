"""Time each relaxation, on networks that settle quickly and on networks that settle slowly.

Each network is trained for two epochs. The table has the time of that training with each
relaxation. Then, with the same weights for all three, it has the sweeps or steps until a row has
settled as far as a prediction, the fraction of rows that settle within the limit, and the time for
all rows.

    python benchmarks/settling.py --output benchmarks/results/settling.md
"""

from __future__ import annotations

import argparse
import time
import warnings
from pathlib import Path

import numpy as np
from environment import describe_environment
from sklearn.datasets import make_classification
from sklearn.exceptions import ConvergenceWarning
from sklearn.preprocessing import StandardScaler

from sklearn_eqprop import EqPropClassifier

N_ROWS, LIMIT = 500, 2000
TIED = {"feedback": "tied", "feedback_scale": 1.0, "loop_gain": None}
#: Name -> (hidden layers, settings), the fast ones first.
NETWORKS = {
    "defaults": ((100,), {}),
    "relu, `loop_gain=0.9`": ((100, 100), {"loop_gain": 0.9}),
    "tied hard sigmoid, `loop_gain=None`": (
        (256, 256, 256),
        {"activation": "hard_sigmoid"} | TIED,
    ),
    "relu, `loop_gain=0.95`": ((512, 512), {"loop_gain": 0.95}),
    "tied tanh": ((512, 512), {"feedback": "tied", "activation": "tanh"}),
    "tied hard sigmoid, `loop_gain=None`, two layers": (
        (512, 512),
        {"activation": "hard_sigmoid"} | TIED,
    ),
    "tied tanh, `loop_gain=None`": (
        (100, 100),
        {"activation": "tanh"} | TIED,
    ),
    "tied tanh, three layers": ((100, 100, 100), {"feedback": "tied", "activation": "tanh"}),
    "relu, `loop_gain=None`, `feedback_scale=1`": (
        (100, 100),
        {"loop_gain": None, "feedback_scale": 1.0},
    ),
}
METHODS = ("gauss_seidel", "anderson", "euler")


def seconds(action, repeats: int) -> float:
    """Return the smallest processor time of a few calls."""
    times = []
    for _ in range(repeats):
        started = time.process_time()
        action()
        times.append(time.process_time() - started)
    return min(times)


def settled(model: EqPropClassifier, X: np.ndarray, method: str, repeats: int) -> list[str]:
    """Return the cells about settling one network by one method."""
    model.set_params(relaxation=method, max_relax_iter=LIMIT)
    result = model.relax(X)
    taken = seconds(lambda: model.relax(X), repeats)
    n_steps = f"{result.n_steps.mean():.0f} ({result.n_steps.max()})"
    return [n_steps, f"{100 * result.converged.mean():.1f} %", f"{1e3 * taken:.0f}"]


def rows(repeats: int):
    """Yield the lines of the table."""
    X, y = make_classification(N_ROWS, 100, n_informative=20, n_classes=5, random_state=0)
    X = StandardScaler().fit_transform(X)
    for name, (hidden, settings) in NETWORKS.items():
        model = EqPropClassifier(hidden, max_iter=2, random_state=0, **settings).fit(X, y)
        for method in METHODS:
            twin = EqPropClassifier(
                hidden, max_iter=2, random_state=0, relaxation=method, **settings
            )
            fitting = seconds(lambda twin=twin: twin.fit(X, y), repeats)
            cells = [method, *settled(model, X, method, repeats), f"{1e3 * fitting:.0f}"]
            head = f"{name}, {hidden}" if method == METHODS[0] else ""
            yield f"| {head} | {' | '.join(cells)} |"


def main() -> None:
    """Print the table and write it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--output", type=Path)
    parser.add_argument("--repeats", type=int, default=3)
    arguments = parser.parse_args()
    lines = [
        "# Settling: Gauss-Seidel, Anderson, Euler",
        "",
        f"{N_ROWS} rows of 100 features, float64, `step_size=1`, at most {LIMIT} sweeps or steps; "
        "milliseconds of processor time. Training keeps to its limit of 200, settled or not.",
        "",
        describe_environment(),
        "",
        "| network | relaxation | sweeps or steps, mean (most) | settled | relax, ms | fit, ms |",
        "|---|---|---|---|---|---|",
    ]
    print("\n".join(lines), flush=True)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        for line in rows(arguments.repeats):
            print(line, flush=True)
            lines.append(line)
    if arguments.output:
        arguments.output.write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
