"""Compare free phases that start from rest with ones that start from the last equilibrium.

The code of Scellier & Bengio (2017) keeps each sample's last equilibrium, and starts its next free
phase there ("persistent particles"). The package starts from rest. Both train the same networks
here. The table has the mean sweeps or steps of the free phase in the second and in the last epoch,
and the largest fraction of samples in any of these epochs that did not settle.

    python benchmarks/starts.py --output benchmarks/results/starts.md
"""

from __future__ import annotations

import argparse
import time
import warnings
from pathlib import Path
from unittest import mock

import numpy as np
from environment import describe_environment
from sklearn.datasets import load_digits
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import train_test_split

from sklearn_eqprop import EqPropClassifier
from sklearn_eqprop._relaxation import FreeField, SettleOptions
from sklearn_eqprop._substrates.phases import SimulatedFreePhase
from sklearn_eqprop._substrates.simulated import SimulatedNetwork

SHARED = {"alpha": 1e-4, "n_iter_no_change": None, "max_relax_iter": 500}
PAPER = {
    "activation": "hard_sigmoid",
    "feedback": "tied",
    "feedback_scale": 1.0,
    "loop_gain": None,
    "loss": "squared_error",
    "nudging": "centered",
}
SETTINGS = {
    "defaults": {},
    "loop_gain=0.9": {"loop_gain": 0.9},
    "Euler, ε = 0.5": {"relaxation": "euler", "step_size": 0.5},
    "tied, γ = 1": PAPER,
    "tied, γ = 1, Euler, ε = 0.5": PAPER | {"relaxation": "euler", "step_size": 0.5},
}


class Persistent(SimulatedNetwork):
    """A simulated network that starts each row at its last equilibrium; rows are told by value.

    `looking_up` are the CPU seconds for that. An index of rows in place of their values would take
    almost none, so that they do not count.
    """

    looking_up = 0.0

    def __init__(self, *arguments, **settings) -> None:
        super().__init__(*arguments, **settings)
        self._last: dict[bytes, list[np.ndarray]] = {}

    def settle(self, inputs):
        began = time.process_time()
        keys = [row.tobytes() for row in inputs]
        start = self.network.zero_states(len(inputs))
        for row, key in enumerate(keys):
            for state, last in zip(start, self._last.get(key, ()), strict=False):
                state[row] = last
        Persistent.looking_up += time.process_time() - began
        clamped, driven = self.network.clamp_and_hold(inputs)
        by_input = [drive if drive.ndim > 1 else None for drive in clamped]
        tolerance, allowances = self.tolerances(self.limits.free_tolerance, by_input)
        field = FreeField(self.network, clamped, len(inputs), allowances=allowances)
        options = SettleOptions(freezes=False, keeps="drives")
        known = start if self._last else None
        result = self.relaxation.settle(
            field, known, tolerance, self.limits.max_free, options=options
        )
        began = time.process_time()
        for row, key in enumerate(keys):
            self._last[key] = [state[row].copy() for state in result.states]
        Persistent.looking_up += time.process_time() - began
        return SimulatedFreePhase(inputs, result, driven)


def measured(settings: dict, substrate: type[SimulatedNetwork], seeds: range, n: int) -> str:
    """Return sweeps, unsettled fraction, CPU seconds and accuracy, means over the seeds."""
    X, y = load_digits(return_X_y=True)
    found = []
    for seed in seeds:
        split = train_test_split(X / 16, y, test_size=0.25, stratify=y, random_state=seed)
        model = EqPropClassifier((64, 64), max_iter=n, random_state=seed, **SHARED | settings)
        where = "sklearn_eqprop._estimators.fitting.train.SimulatedNetwork"
        Persistent.looking_up, started = 0.0, time.process_time()
        with warnings.catch_warnings(), mock.patch(where, substrate):
            warnings.simplefilter("ignore", ConvergenceWarning)
            model.fit(split[0], split[2])
            seconds = time.process_time() - started - Persistent.looking_up
            score = model.score(split[1], split[3])
        record = model.relaxation_
        steps, unsettled = record["free_steps"], max(record["free_unconverged"][1:])
        found.append([steps[1], steps[-1], unsettled, seconds, score])
    second, last, unsettled, seconds, score = np.mean(found, axis=0)
    return f"{second:.1f} | {last:.1f} | {unsettled:.1%} | {seconds:.1f} | {score:.4f}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--epochs", type=int, default=30)
    parser.add_argument("--output", type=Path)
    arguments = parser.parse_args()
    lines = [
        "# Starts of the free phase: digits",
        "",
        describe_environment(),
        "",
        f"Hidden layers (64, 64), {arguments.epochs} epochs, means over {arguments.seeds} seeds. "
        "CPU seconds of a fit are without the look-up of the last states.",
        "",
        "| settings | start | free sweeps, epoch 2 | last epoch | unsettled | s | accuracy |",
        "|---|---|---|---|---|---|---|",
    ]
    print(*lines, sep="\n", flush=True)
    for name, settings in SETTINGS.items():
        for start, substrate in (("rest", SimulatedNetwork), ("last equilibrium", Persistent)):
            found = measured(settings, substrate, range(arguments.seeds), arguments.epochs)
            lines.append(f"| {name} | {start} | {found} |")
            print(lines[-1], flush=True)
    if arguments.output:
        arguments.output.write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
