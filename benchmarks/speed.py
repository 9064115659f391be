"""Speed on the CPU against scikit-learn's MLP and against a literal implementation.

    python benchmarks/speed.py --data mnist.npz --output benchmarks/results/speed.md

Both sides of every ratio are measured in the same run, alternating, medians of `--repeats`. Give
``--rows`` names of rows to run some of them only. Leave the machine alone meanwhile: BLAS threads
that wait for a busy core make every figure meaningless.
"""

from __future__ import annotations

import argparse
import time
import tracemalloc
import warnings
from functools import partial
from pathlib import Path

import joblib
import numpy as np
from datasets import load_images
from environment import describe_environment
from reference import LiteralNetwork
from scipy import sparse
from sklearn.datasets import load_breast_cancer, load_digits, make_classification
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import train_test_split
from sklearn.neural_network import MLPClassifier
from sklearn.preprocessing import StandardScaler
from threadpoolctl import threadpool_limits

from sklearn_eqprop import EqPropClassifier
from sklearn_eqprop.network.connections import Dense

DEPTHS = [(512,), (512, 512), (512, 512, 512)]
CLASSES = np.arange(10)
#: Ours, where only the time to a given accuracy counts.
FAST = {"learning_rate": "cosine", "learning_rate_init": 5e-3}


def timed(action, *arguments) -> float:
    """Seconds that a call takes."""
    started = time.perf_counter()
    action(*arguments)
    return time.perf_counter() - started


def alternating(actions, repeats: int) -> np.ndarray:
    """Median seconds of each action, run in turn."""
    return np.median([[timed(action) for action in actions] for _ in range(repeats)], axis=0)


# ---- rows: each yields (what, ours, theirs, value, target) ------------------------------------


def against_literal(data, repeats):
    """An epoch against plain Euler dynamics, minibatches of 20, 30 and 10 steps.

    Ours settling as far as learning needs, and to the residual that the other's free phase leaves.
    """
    X, y, *_ = data
    rows, targets = X[:2000], np.eye(10, dtype=np.float32)[y[:2000]]
    as_literal = {"batch_size": 20, "optimizer": "sgd", "momentum": 0.0}
    for hidden, goal in (((512,), 20), ((512, 512), 8)):
        literal = started_as(hidden, rows, y[:2000])
        free = literal.relax(rows, literal.rest(2000), 30)
        left = float(np.max(literal.residual(rows, free)))

        def an_epoch(literal=literal):
            for start in range(0, 2000, 20):
                literal.train_on(rows[start : start + 20], targets[start : start + 20])

        for batches, settings in (("defaults", {}), ("batch 20, SGD", as_literal)):
            for tolerance, target in (("auto", ""), (left, f">= {goal}x")):
                model = EqPropClassifier(
                    hidden,
                    activation="hard_sigmoid",
                    loss="squared_error",
                    relax_tol=tolerance,
                    random_state=0,
                    **settings,
                )
                model.partial_fit(rows, y[:2000], classes=CLASSES)
                theirs, ours = alternating(
                    [an_epoch, lambda model=model: model.partial_fit(rows, y[:2000])], repeats
                )
                reached = model.relaxation_["free_residual"][-1]
                yield (
                    f"{shape(hidden)}, an epoch, {batches}; largest residual {reached:.1g}, "
                    f"literal {left:.1g}",
                    f"{30 * ours:.2f} s",
                    f"{30 * theirs:.1f} s",
                    f"{theirs / ours:.0f}x",
                    target,
                )


def started_as(hidden, X, y) -> LiteralNetwork:
    """A literal network with the starting weights of ours, float32."""
    model = EqPropClassifier(hidden, random_state=0, feedback_scale=0.3, activation="hard_sigmoid")
    model.partial_fit(X[:200], y[:200], classes=CLASSES)
    arrays = (model.coefs_, model.feedback_coefs_, model.intercepts_)
    return LiteralNetwork(*([array.copy() for array in blocks] for blocks in arrays))


def time_to_error(data, repeats):
    """Seconds of training until the test error is at most 3 % and 2 %.

    MLP: its defaults, epoch by epoch, scoring not counted. Ours: whole fits with a cosine rate that
    starts at 5e-3 and ends there, the shortest that gets below.
    """
    X, y, X_test, y_test = data
    goals = {3.0: (1.0, 1.2, 1.5), 2.0: (1.0, 1.2, 1.5)}
    for depth, hidden in enumerate(DEPTHS):
        found = {error: ([], []) for error in goals}
        for seed in range(repeats):
            for error, seconds in mlp_until(hidden, data, list(goals), seed).items():
                found[error][0].append(seconds)
            left = sorted(goals, reverse=True)
            for epochs in range(1, 16):
                if not left:
                    break
                model = EqPropClassifier(hidden, max_iter=epochs, random_state=seed, **FAST)
                seconds = timed(model.fit, X, y)
                reached = 100 * (1 - model.score(X_test, y_test))
                while left and reached <= left[0]:
                    found[left.pop(0)][1].append((seconds, epochs))
        for error, (theirs, ours) in found.items():
            seconds = np.median([each for each, _ in ours])
            epochs = [n for _, n in ours]
            other = np.median([each for each, _ in theirs])
            yield (
                f"{shape(hidden)}, to {error:g} % test error; epochs {epochs} against "
                f"{[n for _, n in theirs]}",
                f"{seconds:.1f} s",
                f"{other:.1f} s",
                f"{seconds / other:.2f}",
                f"<= {goals[error][depth]}",
            )


def mlp_until(hidden, data, errors, seed) -> dict:
    X, y, X_test, y_test = data
    model, seconds, found = MLPClassifier(hidden, random_state=seed), 0.0, {}
    for epoch in range(1, 31):
        seconds += timed(partial(model.partial_fit, X, y, classes=CLASSES))
        reached = 100 * (1 - model.score(X_test, y_test))
        for error in errors:
            if reached <= error and error not in found:
                found[error] = (seconds, epoch)
        if len(found) == len(errors):
            break
    return found


def long_training(data, repeats):
    """A late epoch against an early one: what has faded away must not slow it down.

    Weights of inputs that are always 0 and of units that died would become subnormal numbers.
    """
    X, y, *_ = data
    hidden, seconds = (512, 512), []
    for kind in (EqPropClassifier, MLPClassifier):
        model = kind(hidden, random_state=0)
        seconds.append(
            [timed(partial(model.partial_fit, X, y, classes=CLASSES)) for _ in range(14)]
        )
    ours, theirs = (np.median(each[11:]) / np.median(each[1:4]) for each in seconds)
    yield (
        f"{shape(hidden)}, epochs 12 to 14 against epochs 2 to 4",
        f"{ours:.2f}",
        f"{theirs:.2f}",
        f"{ours:.2f}",
        "",
    )


def default_fits(data, repeats):
    """Whole fits, defaults against defaults."""
    problems = {
        "digits": load_digits(return_X_y=True),
        "breast_cancer": load_breast_cancer(return_X_y=True),
        "20,000 x 50": make_classification(20_000, 50, n_informative=20, random_state=0),
    }
    for name, (X, y) in problems.items():
        parts = train_test_split(X, y, stratify=y, random_state=0)
        scaler = StandardScaler().fit(parts[0])
        X_train, X_test = (scaler.transform(part) for part in parts[:2])
        seconds, scores = [], []
        for seed in range(repeats):
            models = [kind(random_state=seed) for kind in (EqPropClassifier, MLPClassifier)]
            seconds.append([timed(m.fit, X_train, parts[2]) for m in models])
            scores.append([m.score(X_test, parts[3]) for m in models])
        ours, theirs = np.median(seconds, axis=0)
        accuracy = np.mean(scores, axis=0)
        yield (
            f"fit {name}; accuracy {accuracy[0]:.4f} against {accuracy[1]:.4f}",
            f"{ours:.2f} s",
            f"{theirs:.2f} s",
            f"{ours / theirs:.2f}",
            "<= 1.5",
        )


def predictions(data, repeats):
    """Predicting 10,000 rows of MNIST."""
    X, y, X_test, _ = data
    for hidden in DEPTHS:
        models = [
            EqPropClassifier(hidden, max_iter=1, random_state=0).fit(X, y),
            MLPClassifier(hidden, max_iter=1, random_state=0).fit(X, y),
        ]
        ours, theirs = alternating([lambda m=m: m.predict(X_test) for m in models], 3 * repeats)
        yield (
            f"{shape(hidden)}, predict 10,000 rows",
            f"{ours:.2f} s",
            f"{theirs:.2f} s",
            f"{ours / theirs:.2f}",
            "<= 4",
        )
    for dtype in (np.float32, np.float64):  # settled to the rounding of the type, labels are not
        rows, sides = X_test.astype(dtype), [EqPropClassifier, MLPClassifier]
        models = [
            side((512,), max_iter=1, random_state=0).fit(X[:2000].astype(dtype), y[:2000])
            for side in sides
        ]
        ours, theirs = alternating([partial(m.predict_proba, rows) for m in models], 3 * repeats)
        yield (
            f"784-512-10, predict_proba of 10,000 rows, {rows.dtype}",
            f"{ours:.2f} s",
            f"{theirs:.2f} s",
            f"{ours / theirs:.2f}",
            "",
        )


def hashed_text(data, repeats):
    """Rows of about 100 words among 131,072 columns, and many rows of 20 in 20,000."""
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


def most_memory(action) -> int:
    """Most bytes in use during a call."""
    tracemalloc.start()
    action()
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return most


class ProductClock:
    """Counts the time spent in matrix products, by shape, while it is entered."""

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


def overhead(data, repeats):
    """Share of a training step that is not spent in matrix products."""
    X, y, *_ = data
    hidden = (512, 512)
    for n_rows, goal in ((1, None), (20, 0.60), (200, 0.25)):
        model = EqPropClassifier(hidden, random_state=0)
        mlp = MLPClassifier(hidden, random_state=0)
        for each in (model, mlp):
            each.partial_fit(X[:n_rows], y[:n_rows], classes=CLASSES)
        shares, ours, theirs = [], [], []
        for repeat in range(20 * repeats):
            rows = slice(n_rows * repeat, n_rows * (repeat + 1))
            with ProductClock() as clock:
                ours.append(timed(model.partial_fit, X[rows], y[rows]))
            shares.append(1 - clock.total / ours[-1])
            theirs.append(timed(mlp.partial_fit, X[rows], y[rows]))
        yield (
            f"{shape(hidden)}, partial_fit on {n_rows} rows, share outside products",
            f"{1e3 * np.median(ours):.1f} ms",
            f"{1e3 * np.median(theirs):.1f} ms",
            f"{np.median(shares):.2f}",
            "" if goal is None else f"<= {goal}",
        )


def products(data, repeats):
    """Share of training spent in matrix products, and how fast they are."""
    X, y, *_ = data
    hidden = (512, 512)
    model = EqPropClassifier(hidden, batch_size=128, random_state=0)
    model.partial_fit(X[:1280], y[:1280], classes=CLASSES)
    shares, rates = [], []
    for _ in range(repeats):
        with ProductClock() as clock:
            passed = timed(model.partial_fit, X[:12_800], y[:12_800])
        shares.append(clock.total / passed)
        rates.append(bare_seconds(clock) / clock.total)
    yield (
        f"{shape(hidden)}, batch 128, share of training in matrix products",
        f"{np.median(shares):.0%}",
        "",
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


def bare_seconds(clock: ProductClock) -> float:
    """What the products of a run take on their own, into arrays that are there already."""
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


def memory(data, repeats):
    """Most memory in use while training on 60,000 rows, beyond the data."""
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
    """Two fits in two processes against the same one after the other.

    The latter with as many BLAS threads as there are, and with one, as each process has. What two
    processes can do at most on this machine is seen from products alone.
    """
    X, y, *_ = data
    X, y = X[:20_000], y[:20_000]
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


ROWS = {
    function.__name__: function
    for function in (
        against_literal,
        time_to_error,
        long_training,
        default_fits,
        predictions,
        hashed_text,
        overhead,
        products,
        memory,
        two_at_once,
    )
}


def shape(hidden) -> str:
    return "-".join(str(size) for size in (784, *hidden, 10))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="MNIST as an .npz file")
    parser.add_argument("--rows", nargs="*", choices=list(ROWS), default=list(ROWS))
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--output", type=Path)
    arguments = parser.parse_args()
    warnings.simplefilter("ignore", ConvergenceWarning)  # of fits that are cut short on purpose
    data = load_images(arguments.data)
    lines = [
        "# Speed on the CPU",
        "",
        describe_environment(),
        "",
        f"Medians of {arguments.repeats}. MLP: scikit-learn's MLPClassifier of the same layers.",
        "",
        "| what | ours | the other | ratio | target |",
        "|---|---|---|---|---|",
    ]
    for name in arguments.rows:
        for row in ROWS[name](data, arguments.repeats):
            lines.append(f"| {' | '.join(row)} |")
            print(lines[-1], flush=True)
    if arguments.output:
        arguments.output.write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
