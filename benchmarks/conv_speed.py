"""Time convolutions: ways to compute them, an epoch beside PyTorch's backprop, and memory.

    python benchmarks/conv_speed.py
    python benchmarks/conv_speed.py --torch-python /path/to/an/environment/bin/python

The second form also times a plain PyTorch network of the same layers, trained by backpropagation
on the same cores in the same run, through another interpreter: PyTorch is not among the
package's dependencies. All times are processor times of one thread (set OPENBLAS_NUM_THREADS=1).
On an idle machine they equal the time on the clock; a busy machine changes them little. The output
is written to ``benchmarks/results/conv_speed.md``.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import time
import tracemalloc
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
from environment import describe_environment
from scipy import fft
from sklearn.exceptions import ConvergenceWarning

from sklearn_eqprop import Conv2D, EqPropClassifier
from sklearn_eqprop._backend import NumpyBackend
from sklearn_eqprop._network import Convolution
from sklearn_eqprop._network.conv2d import ConvGeometry, geometry_of

RESULTS = Path(__file__).parent / "results" / "conv_speed.md"
BATCH = 100
N_ROWS = 3000
N_MNIST = 60_000
#: The paper's two convolutions: input, kernels, maps.
CASES = {"28x28x1, 5x5, 32 maps": ((28, 28, 1), 32), "12x12x32, 5x5, 64 maps": ((12, 12, 32), 64)}
PAPER = (Conv2D(32, 5, pool=2), Conv2D(64, 5, pool=2), 128)
AVERAGED = tuple(
    Conv2D(s.filters, 5, pool=2, pooling="average") if isinstance(s, Conv2D) else s for s in PAPER
)


def best_ms(call: Callable[[], object], repeats: int) -> float:
    call()
    times = []
    for _ in range(repeats):
        started = time.process_time()
        call()
        times.append(time.process_time() - started)
    return 1e3 * min(times)


# ---- ways to compute one convolution and its transpose -----------------------------------------


def by_shifts(maps, kernel, geometry: ConvGeometry):
    """Convolve by one product per position of the kernel, each with the shifted input."""
    rows, columns, filters = geometry.conv_shape
    out = np.zeros((maps.shape[0], rows, columns, filters), dtype=maps.dtype)
    for i, j in np.ndindex(*geometry.kernel):
        out += maps[:, i : i + rows, j : j + columns] @ kernel[i, j]
    return out


def by_fft(maps, kernel, geometry: ConvGeometry):
    """Convolve in the frequency domain, by one matrix product per frequency."""
    size = geometry.in_shape[:2]
    rows, columns, _ = geometry.conv_shape
    spectra = np.moveaxis(fft.rfft2(maps, axes=(1, 2)), 0, 2)
    filters = fft.rfft2(kernel, s=size, axes=(0, 1)).conj()
    product = np.moveaxis(spectra @ filters, 2, 0)
    return fft.irfft2(product, s=size, axes=(1, 2))[:, :rows, :columns]


def transposed_by_columns(deltas, kernel, geometry: ConvGeometry):
    """Go back by one product to all positions of the kernel (col2im) and sums of strided views."""
    rows, columns, filters = geometry.conv_shape
    height, width = geometry.kernel
    out = np.zeros((deltas.shape[0], *geometry.in_shape), dtype=deltas.dtype)
    matrix = kernel.reshape(-1, filters).T
    for start in range(0, deltas.shape[0], 4):
        block = deltas[start : start + 4]
        parts = block.reshape(-1, filters) @ matrix
        parts = parts.reshape(-1, rows, columns, height, width, geometry.in_shape[2])
        for i, j in np.ndindex(height, width):
            out[start : start + 4, i : i + rows, j : j + columns] += parts[:, :, :, i, j]
    return out


def transposed_by_flipped(deltas, kernel, geometry: ConvGeometry):
    """Go back by a convolution of the padded output with the flipped kernel."""
    (height, width), (rows, columns, filters) = geometry.kernel, geometry.conv_shape
    pads = [(0, 0), (height - 1, height - 1), (width - 1, width - 1), (0, 0)]
    flipped = np.ascontiguousarray(kernel[::-1, ::-1].transpose(0, 1, 3, 2))
    shape = (rows + 2 * height - 2, columns + 2 * width - 2, filters)
    back = geometry_of(Conv2D(geometry.in_shape[2], geometry.kernel), shape)
    connection = Convolution(0, 1, flipped, back, NumpyBackend())
    return connection.apply(np.pad(deltas, pads).reshape(deltas.shape[0], -1))


def ways_table(repeats: int) -> list[str]:
    lines = [
        "| convolution | blocks of patches | shifts | FFT | back: pieces of the kernel | back: "
        "col2im | back: flipped kernel |",
        "|---|---|---|---|---|---|---|",
    ]
    rng = np.random.RandomState(0)
    for name, (shape, filters) in CASES.items():
        geometry = geometry_of(Conv2D(filters, 5), shape)
        kernel = rng.standard_normal(geometry.weight_shape).astype(np.float32)
        connection = Convolution(0, 1, kernel, geometry, NumpyBackend())
        pre = rng.standard_normal((BATCH, connection.n_source)).astype(np.float32)
        post = rng.standard_normal((BATCH, connection.n_target)).astype(np.float32)
        maps, deltas = (
            pre.reshape(-1, *geometry.in_shape),
            post.reshape(-1, *geometry.conv_shape),
        )
        there, back = connection.apply(pre), connection.apply_transposed(post)
        for way in (by_shifts, by_fft):
            assert np.allclose(way(maps, kernel, geometry).reshape(BATCH, -1), there, atol=1e-2)
        for way in (transposed_by_columns, transposed_by_flipped):
            assert np.allclose(way(deltas, kernel, geometry).reshape(BATCH, -1), back, atol=1e-2)
        calls = [
            lambda c=connection, x=pre: c.apply(x),
            lambda m=maps, k=kernel, g=geometry: by_shifts(m, k, g),
            lambda m=maps, k=kernel, g=geometry: by_fft(m, k, g),
            lambda c=connection, x=post: c.apply_transposed(x),
            lambda d=deltas, k=kernel, g=geometry: transposed_by_columns(d, k, g),
            lambda d=deltas, k=kernel, g=geometry: transposed_by_flipped(d, k, g),
        ]
        times = [best_ms(call, repeats) for call in calls]
        lines.append(f"| {name} | " + " | ".join(f"{ms:.1f}" for ms in times) + " |")
    return lines


# ---- an epoch -----------------------------------------------------------------------------------

#: Plain backpropagation of the same layers; prints the seconds per minibatch.
TORCH = """
import json, sys, time, torch
from torch import nn
batch, rows, average = json.loads(sys.argv[1])
torch.set_num_threads(1)
pool = nn.AvgPool2d if average else nn.MaxPool2d
net = nn.Sequential(
    nn.Conv2d(1, 32, 5), pool(2), nn.ReLU(), nn.Conv2d(32, 64, 5), pool(2), nn.ReLU(),
    nn.Flatten(), nn.Linear(1024, 128), nn.ReLU(), nn.Linear(128, 10))
optimizer, loss = torch.optim.Adam(net.parameters(), 3e-3), nn.CrossEntropyLoss()
X, y = torch.rand(rows, 1, 28, 28), torch.randint(10, (rows,))
times = []
for epoch in range(3):
    started = time.process_time()
    for start in range(0, rows, batch):
        optimizer.zero_grad()
        loss(net(X[start:start + batch]), y[start:start + batch]).backward()
        optimizer.step()
    times.append(time.process_time() - started)
print(json.dumps([min(times) * batch / rows, torch.__version__]))
"""

RULES = {
    "vector field (default)": {},
    "vector field, centred": {"nudging": "centered"},
    "recurrent backprop": {"gradient": "recurrent_backprop"},
}


def seconds_a_minibatch(layers: tuple, settings: dict) -> float:
    """Return the seconds per minibatch of the best of three epochs, on images similar to digits."""
    rng = np.random.RandomState(0)
    y = rng.randint(10, size=N_ROWS)
    X = (rng.rand(N_ROWS, 784) * rng.rand(10, 784)[y] > 0.4).astype(np.float32)
    model = EqPropClassifier(
        layers, input_shape=(28, 28), batch_size=BATCH, random_state=0, **settings
    )
    times = []
    for _ in range(3):
        started = time.process_time()
        model.partial_fit(X, y, classes=np.arange(10))
        times.append(time.process_time() - started)
    return min(times) * BATCH / N_ROWS


def torch_seconds(python: str, average: bool) -> tuple[float, str]:
    what = json.dumps([BATCH, N_ROWS, average])
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
    done = subprocess.run(
        [python, "-c", TORCH, what], capture_output=True, text=True, check=True, env=environment
    )
    seconds, version = json.loads(done.stdout)
    return seconds, version


def epoch_table(torch_python: str | None) -> list[str]:
    lines = [
        "| layers | rule | ms a minibatch | s an epoch of 60,000 | PyTorch, ms | ratio |",
        "|---|---|---|---|---|---|",
    ]
    for name, layers in (("max pooling", PAPER), ("average pooling", AVERAGED)):
        torch_ms = None
        if torch_python is not None:
            seconds, version = torch_seconds(torch_python, layers is AVERAGED)
            torch_ms = 1e3 * seconds
            lines[0] = lines[0].replace("PyTorch,", f"PyTorch {version},")
        for rule, settings in RULES.items():
            ms = 1e3 * seconds_a_minibatch(layers, settings)
            beside = "- | -" if torch_ms is None else f"{torch_ms:.1f} | {ms / torch_ms:.1f}"
            epoch = ms * N_MNIST / BATCH / 1e3
            lines.append(f"| {name} | {rule} | {ms:.0f} | {epoch:.0f} | {beside} |")
    return lines


def memory_line() -> str:
    """Return a line: NumPy's largest memory in training the paper's layers, minibatches of 64."""
    rng = np.random.RandomState(0)
    X, y = rng.rand(192, 784).astype(np.float32), rng.randint(10, size=192)
    model = EqPropClassifier(
        PAPER, input_shape=(28, 28), batch_size=64, random_state=0, nudging="centered"
    )
    tracemalloc.start()
    model.partial_fit(X, y, classes=np.arange(10))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    units = sum(model.relax(X[:1]).states[layer].size for layer in range(4))
    states = 64 * 2 * 4 * units / 2**20
    return (
        f"Memory, the paper's layers, minibatches of 64, centred nudging (128 rows at once): "
        f"{peak / 2**20:.0f} MB at most, {peak / 2**20 / states:.0f} times the {states:.1f} MB of "
        "one copy of the states."
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--torch-python", help="interpreter of an environment with PyTorch")
    parser.add_argument("--repeats", type=int, default=20)
    parser.add_argument("--output", type=Path, default=RESULTS)
    arguments = parser.parse_args()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        lines = [
            "# Convolutions: time and memory",
            "",
            describe_environment(),
            "",
            f"Milliseconds for a minibatch of {BATCH}, float32, the best of {arguments.repeats}.",
            "",
            *ways_table(arguments.repeats),
            "",
            "Training the paper's layers, 5x5 kernels, 32 and 64 maps, each pooled over 2x2, then "
            f"128 dense units, minibatches of {BATCH}; PyTorch: backpropagation, Adam. The best of "
            "three epochs each. Processor time of one thread throughout.",
            "",
            *epoch_table(arguments.torch_python),
            "",
            memory_line(),
            "",
        ]
    arguments.output.write_text("\n".join(lines))
    print("\n".join(lines))


if __name__ == "__main__":
    main()
