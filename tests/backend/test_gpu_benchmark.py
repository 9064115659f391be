"""`benchmarks/gpu.py` runs where there is a device; what it finds on a pretended one is moot."""

import importlib
from argparse import Namespace
from pathlib import Path

import pytest
from sklearn.exceptions import ConvergenceWarning

from sklearn_eqprop._backend import NumpyBackend, get_backend

pytestmark = pytest.mark.filterwarnings(
    f"ignore::{ConvergenceWarning.__module__}.ConvergenceWarning"
)


@pytest.fixture
def benchmark(monkeypatch):
    """The module, made small."""
    monkeypatch.syspath_prepend(Path(__file__).parents[2] / "benchmarks")
    module = importlib.import_module("gpu")
    for name, value in {"LAYERS": (8, 12, 11, 10), "GEMM_SIDE": 16, "COPIED": 64}.items():
        monkeypatch.setattr(module, name, value)
    return module


def test_both_halves_run(installed, benchmark):
    backends = [NumpyBackend(), get_backend("cupy")]
    lines = benchmark.measure(backends, Namespace(batches=[16], minibatches=4))
    assert sum("TFLOP/s, memory at" in line for line in lines) == 2
    for row in ("| 16, numpy |", "| 16, cupy |", "| 16, CPU / GPU |"):
        assert sum(line.startswith(row) for line in lines) == 1


@pytest.mark.parametrize(("name", "n_apart"), [("numpy", 8), ("cupy", 64)])
def test_fits_that_are_compared_are_far_enough_apart(
    installed, benchmark, monkeypatch, name, n_apart
):
    """A difference of few minibatches would drown in how long fits vary by themselves."""
    epochs = []

    def fitted(hidden, backend, X, y, batch_size, n):
        epochs.append(n * X.shape[0] / batch_size)
        return 1.0

    monkeypatch.setattr(benchmark, "epoch_seconds", fitted)
    benchmark.side(get_backend(name), 16, (1e12, 1e12), 3)
    assert min(epochs) >= n_apart
