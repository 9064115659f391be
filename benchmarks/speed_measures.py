"""Measure seconds, memory and matrix products for the rows of `speed.py`."""

from __future__ import annotations

import time
import tracemalloc
from functools import partial, wraps

import numpy as np
from sklearn.neural_network import _multilayer_perceptron as multilayer_perceptron
from threadpoolctl import threadpool_limits

from sklearn_eqprop._network.connections import Dense

DEPTHS = [(512,), (512, 512), (512, 512, 512)]
CLASSES = np.arange(10)


def shape(hidden) -> str:
    return "-".join(str(size) for size in (784, *hidden, 10))


def timed(action, *arguments) -> float:
    """Return the seconds that a call takes."""
    started = time.perf_counter()
    action(*arguments)
    return time.perf_counter() - started


def alternating(actions, repeats: int, measure=timed) -> np.ndarray:
    """Return the median seconds of each action; the actions run in turn."""
    return np.median([[measure(action) for action in actions] for _ in range(repeats)], axis=0)


def processor_time(action, *arguments) -> float:
    """Return the processor seconds of a call: other programs hardly change them."""
    started = time.process_time()
    action(*arguments)
    return time.process_time() - started


def one_thread(rows):
    """Return a function of rows that gives BLAS one thread."""

    @wraps(rows)
    def limited(data, repeats):
        with threadpool_limits(1):
            yield from rows(data, repeats)

    return limited


def most_memory(action) -> int:
    """Return the largest number of bytes in use during a call."""
    tracemalloc.start()
    action()
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return most


class ProductClock:
    """Context manager that counts the time in matrix products, by shape."""

    def __enter__(self):
        self.seconds: dict[tuple, list[float]] = {}
        self._originals = {name: getattr(Dense, name) for name in ("apply", "local_change")}
        for name, original in self._originals.items():
            setattr(Dense, name, self._watched(name, original))
        return self

    def __exit__(self, *_):
        for name, original in self._originals.items():
            setattr(Dense, name, original)

    def _watched(self, name, original):
        def product(connection, pre, *others):
            started = time.perf_counter()
            result = original(connection, pre, *others)
            passed = time.perf_counter() - started
            n_in, n_out = connection.weights.shape
            turned = connection.weights.flags.c_contiguous
            key = (name, pre.shape[0], n_in, n_out, turned)
            self.seconds.setdefault(key, []).append(passed)
            return result

        return product

    @property
    def total(self) -> float:
        return sum(sum(each) for each in self.seconds.values())


class MLPProductClock:
    """Context manager that counts the time of scikit-learn's MLP in matrix products."""

    def __enter__(self):
        self.total, original = 0.0, multilayer_perceptron.safe_sparse_dot
        self._original = original

        def product(*operands, **options):
            started = time.perf_counter()
            result = original(*operands, **options)
            self.total += time.perf_counter() - started
            return result

        multilayer_perceptron.safe_sparse_dot = product
        return self

    def __exit__(self, *_):
        multilayer_perceptron.safe_sparse_dot = self._original


def bare_seconds(clock: ProductClock) -> float:
    """Return the seconds of the products of a run alone, into arrays that already exist."""
    rng, total = np.random.RandomState(0), 0.0
    for (name, n_rows, n_in, n_out, by_rows), passed in clock.seconds.items():
        pre, post, weights = (
            rng.standard_normal(size).astype(np.float32)
            for size in ((n_rows, n_in), (n_rows, n_out), (n_in, n_out))
        )
        if not by_rows:
            weights = np.asfortranarray(weights)
        if name == "apply":
            operands, out = (pre, weights), post
        elif by_rows:
            operands, out = (pre.T, post), weights
        else:
            operands, out = (post.T, pre), weights.T
        multiply = partial(np.matmul, out=out)
        each = [timed(multiply, *operands) for _ in range(50)]
        total += len(passed) * float(np.median(each))
    return total
