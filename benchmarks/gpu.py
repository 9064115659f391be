"""Time training on a CUDA device beside the CPU, 784-2048-2048-10, and find the limit of each.

    python benchmarks/gpu.py --data mnist.npz --output benchmarks/results/gpu.md

CPU and GPU are measured in one run. Without a usable device only the CPU half runs, and the head of
the output says why. The time of a minibatch is the difference between two fits that differ only in
their epochs, so the time that is spent once per fit does not count.
"""

from __future__ import annotations

import argparse
import itertools
import math
import time
import warnings
from pathlib import Path
from typing import Any

import numpy as np
from datasets import load_images
from environment import describe_environment
from sklearn.exceptions import ConvergenceWarning

from sklearn_eqprop import EqPropClassifier
from sklearn_eqprop._backend import ArrayBackend, NumpyBackend, available_backend
from sklearn_eqprop._backend.cuda.usability import why_no_device
from sklearn_eqprop._network.connections import Dense

LAYERS = (784, 2048, 2048, 10)
#: These hidden layers are so small that only the calls take time.
TINY = (8, 8)
BATCH_SIZES = [128, 256, 512, 1024, 2048, 4096]
REPEATS = 2
#: Side of the matrices that measure the rate of products, and count of numbers that are copied to
#: measure the bandwidth of the memory.
GEMM_SIDE, COPIED = 4096, 2**26
#: The two fits of a timing differ by at least this many minibatches: on a device one minibatch
#: takes little time beside the rest of a fit, and beside the variation of that rest.
APART = {"numpy": 8, "cupy": 64}
#: Passes over the states in a sweep and over the weights in an update (reading or writing each
#: number once), counted in the code: drives, ranges and residuals; Adam, coupling, the change.
STATE_PASSES, WEIGHT_PASSES = 10, 14


class Clock:
    """Measure the seconds of a call, waiting for the device at both ends."""

    def __init__(self, backend: ArrayBackend) -> None:
        self._backend = backend

    def wait(self) -> None:
        if self._backend.is_device:
            self._backend.xp.cuda.get_current_stream().synchronize()

    def best(self, action: Any, repeats: int) -> float:
        seconds = []
        for _ in range(repeats):
            self.wait()
            started = time.perf_counter()
            action()
            self.wait()
            seconds.append(time.perf_counter() - started)
        return min(seconds)


def gemm_rate(backend: ArrayBackend, repeats: int) -> float:
    """Return the FLOP/s of one large float32 product."""
    one, other = (
        backend.from_host(np.random.RandomState(seed).rand(GEMM_SIDE, GEMM_SIDE), np.float32)
        for seed in range(2)
    )
    return 2 * GEMM_SIDE**3 / Clock(backend).best(lambda: one @ other, repeats)


def bandwidth(backend: ArrayBackend, repeats: int) -> float:
    """Return the bytes/s of an elementwise product: two numbers read, one written."""
    array, out = (backend.xp.ones(COPIED, dtype=np.float32) for _ in range(2))
    seconds = Clock(backend).best(lambda: backend.xp.multiply(array, out, out=out), repeats)
    return 3 * 4 * COPIED / seconds


class ProductCount:
    """Count the floating-point operations in the products of all dense connections."""

    def __enter__(self) -> ProductCount:
        self.flops = 0
        self._original = {n: getattr(Dense, n) for n in ("apply", "apply_transposed")}
        self._original["local_change"] = Dense.local_change
        for name, original in self._original.items():
            setattr(Dense, name, self._counting(original))
        return self

    def __exit__(self, *_: Any) -> None:
        for name, original in self._original.items():
            setattr(Dense, name, original)

    def _counting(self, original: Any) -> Any:
        def product(connection: Dense, rows: Any, *others: Any) -> Any:
            self.flops += 2 * rows.shape[0] * connection.weights.size
            return original(connection, rows, *others)

        return product


def model_of(hidden: tuple[int, ...], backend: ArrayBackend, batch_size: int, epochs: int) -> Any:
    return EqPropClassifier(
        hidden,
        backend=backend.name,
        batch_size=batch_size,
        max_iter=epochs,
        n_iter_no_change=None,
        dtype="float32",
        random_state=0,
    )


def epoch_seconds(
    hidden: tuple[int, ...], backend: ArrayBackend, X: Any, y: Any, batch_size: int, epochs: int
) -> float:
    """Return the seconds of an epoch, from a fit with one epoch and a fit with some more.

    Both fits run in turn, after one that compiles kernels and fills caches. The fastest runs count.
    """
    clock = Clock(backend)

    def fit(n: int) -> None:
        model_of(hidden, backend, batch_size, n).fit(X, y)

    fit(1)
    short, long = np.min(
        [[clock.best(lambda n=n: fit(n), 1) for n in (1, 1 + epochs)] for _ in range(REPEATS)],
        axis=0,
    )
    return float(long - short) / epochs


def counted(
    hidden: tuple[int, ...], backend: ArrayBackend, X: Any, y: Any, batch_size: int
) -> tuple[float, float]:
    """Return, per minibatch, the operations in products and the sweeps of both phases together."""
    with ProductCount() as count:
        model = model_of(hidden, backend, batch_size, 1).fit(X, y)
    sweeps = model.relaxation_["free_steps"][0] + model.relaxation_["nudged_steps"][0]
    return count.flops * batch_size / X.shape[0], sweeps


def task(n_samples: int) -> tuple[np.ndarray, np.ndarray]:
    """Draw noise in the shape of MNIST: the time does not depend on the images."""
    rng = np.random.RandomState(0)
    return rng.rand(n_samples, LAYERS[0]).astype(np.float32), rng.randint(10, size=n_samples)


def side(
    backend: ArrayBackend, batch_size: int, rates: tuple[float, float], n_minibatches: int
) -> dict[str, float]:
    """Return the milliseconds per minibatch, and the minimum that each of three limits allows."""
    X, y = task(n_minibatches * batch_size)
    y[:10] = np.arange(10)
    hidden, epochs = LAYERS[1:-1], math.ceil(APART[backend.name] / n_minibatches)
    seconds = epoch_seconds(hidden, backend, X, y, batch_size, epochs) / n_minibatches
    calls = epoch_seconds(TINY, backend, X[:, :8], y, batch_size, epochs) / n_minibatches
    flops, sweeps = counted(hidden, backend, X, y, batch_size)
    n_weights = sum(a * b for a, b in itertools.pairwise(LAYERS))
    moved = 4 * (STATE_PASSES * sweeps * batch_size * sum(LAYERS[1:]) + WEIGHT_PASSES * n_weights)
    return {
        "measured": 1e3 * seconds,
        "products": 1e3 * flops / rates[0],
        "memory": 1e3 * moved / rates[1],
        "calls": 1e3 * calls,
        "rate": flops / seconds,
        "share": flops / seconds / rates[0],
        "intensity": flops / moved,
    }


def roofline(name: str, rates: tuple[float, float], row: dict[str, float]) -> str:
    limits = {what: row[what] for what in ("products", "memory", "calls")}
    reached = max(limits, key=lambda what: limits[what])
    balance = rates[0] / rates[1]
    return (
        f"| {name} | {row['measured']:.2f} | {row['products']:.2f} | {row['memory']:.2f} | "
        f"{row['calls']:.2f} | {reached} | {row['intensity']:.0f} / {balance:.0f} | "
        f"{row['rate'] / 1e12:.3g} | {row['share']:.0%} |"
    )


def measure(backends: list[ArrayBackend], arguments: argparse.Namespace) -> list[str]:
    rates = {}
    lines = []
    for backend in backends:
        rates[backend.name] = gemm_rate(backend, 5), bandwidth(backend, 5)
        gemm, copied = rates[backend.name]
        lines.append(
            f"- {backend.name}: float32 products of {GEMM_SIDE} x {GEMM_SIDE} at "
            f"{gemm / 1e12:.3g} TFLOP/s, memory at {copied / 1e9:.0f} GB/s (both measured)"
        )
    lines += ["", f"## {'-'.join(map(str, LAYERS))}, float32, ms a minibatch", ""]
    lines += [
        "| batch, backend | measured | products alone | memory alone | calls alone | limited by | "
        "FLOP a byte / balance | TFLOP/s | of measured GEMM |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    print("\n".join(lines), flush=True)
    for batch_size in arguments.batches:
        rows = {}
        for backend in backends:
            row = side(backend, batch_size, rates[backend.name], arguments.minibatches)
            rows[backend.name] = row
            lines.append(roofline(f"{batch_size}, {backend.name}", rates[backend.name], row))
            print(lines[-1], flush=True)
        if len(rows) == 2:
            ratio = rows["numpy"]["measured"] / rows["cupy"]["measured"]
            lines.append(f"| {batch_size}, CPU / GPU | {ratio:.1f}x | | | | | | | |")
            print(lines[-1], flush=True)
    return lines


def mnist(backends: list[ArrayBackend], path: Path) -> list[str]:
    X, y, *_ = load_images(path)
    lines = ["", "## MNIST, 784-512-10, an epoch with the default batch size", ""]
    for backend in backends:
        seconds = epoch_seconds((512,), backend, X, y, 200, 2)
        lines.append(f"- {backend.name}: {seconds:.2f} s")
    print("\n".join(lines), flush=True)
    return lines


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, help="MNIST as an .npz file")
    parser.add_argument("--batches", type=int, nargs="*", default=BATCH_SIZES)
    parser.add_argument(
        "--minibatches", type=int, default=4, help="minibatches per epoch, for timing"
    )
    parser.add_argument("--output", type=Path)
    arguments = parser.parse_args()
    warnings.simplefilter("ignore", ConvergenceWarning)  # these fits are short on purpose
    backends: list[ArrayBackend] = [NumpyBackend()]
    device = available_backend()
    if device.is_device:
        backends.append(device)
        found = device.xp.cuda.runtime.getDeviceProperties(0)["name"].decode()
    else:
        found = f"**no device**, so the GPU's half is missing. {why_no_device()}"
    head = ["# Training on a GPU", "", describe_environment(), "", f"GPU: {found}", ""]
    print("\n".join(head), flush=True)
    lines = [*head, *measure(backends, arguments)]
    if arguments.data:
        lines += mnist(backends, arguments.data)
    lines += [
        "",
        "Targets, to be confirmed on a card: batch 1024 at least 20 times faster than 16 CPU "
        "cores; 60 % of the measured GEMM rate; an epoch of MNIST within 2 s.",
    ]
    if arguments.output:
        arguments.output.write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
