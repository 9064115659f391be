"""Make the rows of `speed.py` on predictions, sparse rows, products, memory and cores.

Each function yields the name of the row, our value, the other value, their ratio and its target.
"""

from __future__ import annotations

import warnings
from functools import partial

import joblib
import numpy as np
from scipy import sparse
from sklearn.exceptions import ConvergenceWarning
from sklearn.neural_network import MLPClassifier
from speed_measures import (
    CLASSES,
    DEPTHS,
    MLPProductClock,
    ProductClock,
    alternating,
    bare_seconds,
    most_memory,
    one_thread,
    processor_time,
    shape,
    timed,
)
from threadpoolctl import threadpool_limits

from sklearn_eqprop import EqPropClassifier


@one_thread
def predictions(data, repeats):
    """Predict 10,000 rows of MNIST, and single rows."""
    X, y, X_test, _ = data
    for hidden in DEPTHS:
        for dtype in (np.float32, np.float64):
            rows = X_test.astype(dtype)
            models = [
                kind(hidden, max_iter=2, random_state=0).fit(X[:5000].astype(dtype), y[:5000])
                for kind in (EqPropClassifier, MLPClassifier)
            ]
            for method, target in (("predict", "<= 2.0"), ("predict_proba", "<= 2.5")):
                calls = [getattr(model, method) for model in models]

                def single_rows(call, rows=rows):
                    for start in range(200):
                        call(rows[start : start + 1])

                at_once = [partial(call, rows) for call in calls]
                one_by_one = [partial(single_rows, call) for call in calls]
                for what, runs, n_calls, digits, limit in (
                    (f"{len(rows):,} rows", at_once, 1, 0, target),
                    ("one row", one_by_one, 200, 2, "<= 2.5"),
                ):
                    ours, theirs = alternating(runs, repeats, processor_time)
                    yield (
                        f"{shape(hidden)}, {method}, {what}, {rows.dtype}",
                        f"{1000 * ours / n_calls:.{digits}f} ms",
                        f"{1000 * theirs / n_calls:.{digits}f} ms",
                        f"{ours / theirs:.2f}",
                        limit,
                    )


def hashed_text(data, repeats):
    """Train on rows of about 100 words in 131,072 columns, and on many rows of 20 in 20,000."""
    n_columns, hidden = 2**17, (20,)
    X = sparse.random(400, n_columns, density=100 / n_columns, format="csr", random_state=0)
    y = np.random.RandomState(0).randint(2, size=400)
    models = [kind(hidden, random_state=0) for kind in (EqPropClassifier, MLPClassifier)]
    what = f"hashed text, {n_columns:,}-20-2"
    for name, n_rows in (("partial_fit", 200), ("predict", 400)):
        actions = [
            partial(model.partial_fit, X[:200], y[:200], classes=[0, 1])
            if name == "partial_fit"
            else partial(model.predict, X)
            for model in models
        ]
        alternating(actions, 1)  # the first call of partial_fit starts the network
        ours, theirs = 1e3 * alternating(actions, 3 * repeats)
        most = [f"{most_memory(action) / 2**20:.0f} MB" for action in actions]
        yield (
            f"{what}, {name} on {n_rows} rows; memory {most[0]} against {most[1]}",
            f"{ours:.1f} ms",
            f"{theirs:.1f} ms",
            f"{ours / theirs:.2f}",
            "",
        )
    X = sparse.random(20_000, 20_000, density=1e-3, format="csr", random_state=0)
    y = np.arange(20_000) % 5
    models = [kind(max_iter=1, random_state=0) for kind in (EqPropClassifier, MLPClassifier)]
    for name in ("fit", "predict"):
        arguments = (X, y) if name == "fit" else (X,)
        ours, theirs = alternating([partial(getattr(m, name), *arguments) for m in models], repeats)
        yield (
            f"20,000 sparse rows, 20,000-100-5, {name}",
            f"{ours:.2f} s",
            f"{theirs:.2f} s",
            f"{ours / theirs:.2f}",
            "",
        )


def overhead(data, repeats):
    """Measure the share of a training step outside matrix products."""
    X, y, *_ = data
    hidden = (512, 512)
    for n_rows, goal in ((1, None), (20, 0.60), (200, 0.25)):
        model = EqPropClassifier(hidden, random_state=0)
        mlp = MLPClassifier(hidden, random_state=0)
        for each in (model, mlp):
            each.partial_fit(X[:n_rows], y[:n_rows], classes=CLASSES)
        shares, other_shares, ours, theirs = [], [], [], []
        for repeat in range(20 * repeats):
            rows = slice(n_rows * repeat, n_rows * (repeat + 1))
            with ProductClock() as clock:
                ours.append(timed(model.partial_fit, X[rows], y[rows]))
            shares.append(1 - clock.total / ours[-1])
            with MLPProductClock() as clock:
                theirs.append(timed(mlp.partial_fit, X[rows], y[rows]))
            other_shares.append(1 - clock.total / theirs[-1])
        yield (
            f"{shape(hidden)}, partial_fit on {n_rows} rows, share outside products; MLP's own "
            f"{np.median(other_shares):.2f}",
            f"{1e3 * np.median(ours):.1f} ms",
            f"{1e3 * np.median(theirs):.1f} ms",
            f"{np.median(shares):.2f}",
            "" if goal is None else f"<= {goal}",
        )


def products(data, repeats):
    """Measure the share of training in matrix products, and their rate."""
    X, y, *_ = data
    hidden = (512, 512)
    model, mlp = (
        kind(hidden, batch_size=128, random_state=0) for kind in (EqPropClassifier, MLPClassifier)
    )
    for each in (model, mlp):
        each.partial_fit(X[:1280], y[:1280], classes=CLASSES)
    shares, other_shares, rates = [], [], []
    for _ in range(repeats):
        with ProductClock() as clock:
            passed = timed(model.partial_fit, X[:12_800], y[:12_800])
        shares.append(clock.total / passed)
        rates.append(bare_seconds(clock) / clock.total)
        with MLPProductClock() as clock:
            passed = timed(mlp.partial_fit, X[:12_800], y[:12_800])
        other_shares.append(clock.total / passed)
    yield (
        f"{shape(hidden)}, batch 128, share of training in matrix products",
        f"{np.median(shares):.0%}",
        f"{np.median(other_shares):.0%}",
        f"{np.median(shares):.2f}",
        ">= 0.75",
    )
    yield (
        f"{shape(hidden)}, batch 128, rate of these products against bare sgemm",
        "",
        "",
        f"{np.median(rates):.2f}",
        ">= 0.8",
    )


def memory(data, repeats):
    """Measure the largest memory beyond the data, in training on 60,000 rows."""
    X, y, *_ = data
    for hidden in DEPTHS[:2]:
        model = EqPropClassifier(hidden, max_iter=1, random_state=0)
        most = most_memory(partial(model.fit, X, y))
        yield (
            f"{shape(hidden)}, memory beyond X and y (fit on {X.shape[0]:,} rows)",
            f"{most / 2**20:.0f} MB",
            f"X: {X.nbytes / 2**20:.0f} MB",
            f"{most / 2**20:.0f} MB",
            "<= 100 MB",
        )


def two_at_once(data, repeats):
    """Compare two fits in two processes with the same fits one after the other.

    The latter use all BLAS threads, or one thread, as each process does. Products alone show how
    much two processes can gain at most on this machine.
    """
    X, y, *_ = data
    model = EqPropClassifier((512,), max_iter=6, random_state=0)
    cases = (
        ("two fits", _fit, (model, X, y), ">= 1.7x"),
        ("products alone", _multiply, (3000,), ""),
    )
    for what, action, arguments, goal in cases:

        def both(n_jobs, action=action, arguments=arguments):
            joblib.Parallel(n_jobs)(joblib.delayed(action)(*arguments) for _ in range(2))

        def alone(both=both):
            with threadpool_limits(1):
                both(1)

        both(2)  # starts the workers
        apart, single, together = alternating(
            [lambda both=both: both(1), alone, lambda both=both: both(2)], repeats
        )
        for threads, seconds in (("all threads", apart), ("one thread", single)):
            yield (
                f"{what}, n_jobs=2 against one after the other with {threads}",
                f"{together:.1f} s",
                f"{seconds:.1f} s",
                f"{seconds / together:.2f}x",
                goal,
            )


def _multiply(n_products):
    rows, weights = np.ones((200, 512), np.float32), np.ones((512, 512), np.float32)
    for _ in range(n_products):
        rows @ weights


def _fit(model, X, y):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        return model.fit(X, y)
