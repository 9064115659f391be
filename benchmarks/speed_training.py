"""Make the rows of `speed.py` on training: against a literal implementation and against MLP.

Each function yields the name of the row, our value, the other value, their ratio and its target.
"""

from __future__ import annotations

from functools import partial

import numpy as np
from reference import LiteralNetwork
from sklearn.datasets import (
    load_breast_cancer,
    load_diabetes,
    load_digits,
    make_classification,
)
from sklearn.model_selection import train_test_split
from sklearn.neural_network import MLPClassifier, MLPRegressor
from sklearn.preprocessing import StandardScaler
from speed_measures import (
    CLASSES,
    DEPTHS,
    alternating,
    one_thread,
    processor_time,
    shape,
    timed,
)

from sklearn_eqprop import EqPropClassifier, EqPropRegressor

#: Our settings if only the time to a given accuracy counts.
FAST = {"learning_rate": "cosine", "learning_rate_init": 5e-3}
#: Learning rate of our defaults, for fair rows of MLP.
OUR_RATE = 3e-3


def against_literal(data, repeats):
    """Time an epoch against plain Euler dynamics, minibatches of 20, 30 and 10 steps.

    Ours settles as far as learning needs, and to the residual of the other's free phase.
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
    """Return a literal network with the starting weights of ours, float32."""
    model = EqPropClassifier(hidden, random_state=0, feedback_scale=0.3, activation="hard_sigmoid")
    model.partial_fit(X[:200], y[:200], classes=CLASSES)
    arrays = (model.coefs_, model.feedback_coefs_, model.intercepts_)
    return LiteralNetwork(*([array.copy() for array in blocks] for blocks in arrays))


def time_to_error(data, repeats):
    """Measure the seconds of training until the test error is at most 3 % and 2 %.

    MLP has its defaults and runs epoch by epoch; scoring does not count. Ours are whole fits with
    a cosine rate from 5e-3 to 0; the shortest fit that reaches the error counts.
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
    """Compare a late epoch with an early one: weights that have faded must not slow it down.

    Weights of inputs that are always 0, and of dead units, would become subnormal numbers.
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


@one_thread
def default_fits(data, repeats):
    """Time whole fits with default settings beside MLP, with its rate and with ours."""
    problems = {
        "digits": load_digits(return_X_y=True),
        "breast_cancer": load_breast_cancer(return_X_y=True),
        "20,000 x 50": make_classification(20_000, 50, n_informative=20, random_state=0),
        "diabetes": load_diabetes(return_X_y=True),
    }
    for name, (X, y) in problems.items():
        labels = name != "diabetes"
        parts = train_test_split(X, y, stratify=y if labels else None, random_state=0)
        scaler = StandardScaler().fit(parts[0])
        X_train, X_test = (scaler.transform(part).astype(np.float32) for part in parts[:2])
        y_train, y_test = parts[2:]
        if not labels:
            y_train, y_test = (
                (part - y_train.mean()) / y_train.std() for part in (y_train, y_test)
            )
        ours, mlp = (EqPropClassifier, MLPClassifier) if labels else (EqPropRegressor, MLPRegressor)
        seconds, scores = [], []
        for seed in range(repeats):
            models = [
                ours(random_state=seed),
                mlp(random_state=seed),
                mlp(random_state=seed, learning_rate_init=OUR_RATE),
            ]
            seconds.append([processor_time(m.fit, X_train, y_train) for m in models])
            scores.append([m.score(X_test, y_test) for m in models])
        times, scores = np.median(seconds, axis=0), np.mean(scores, axis=0)
        for index, (side, target) in enumerate((("MLP", "<= 1.0"), ("MLP at our rate", "")), 1):
            yield (
                f"fit {name}, {side}; score {scores[0]:.4f} against {scores[index]:.4f}",
                f"{times[0]:.2f} s",
                f"{times[index]:.2f} s",
                f"{times[0] / times[index]:.2f}",
                target,
            )


@one_thread
def partial_fits(data, repeats):
    """Compare `partial_fit` on 100 rows with a minibatch of 100 within `fit`, and with MLP's."""
    X, y = load_digits(return_X_y=True)
    X = StandardScaler().fit_transform(X).astype(np.float32)[:1000]
    y = y[:1000]
    actions = []
    for kind in (EqPropClassifier, MLPClassifier):
        model = kind(batch_size=100, random_state=0).partial_fit(X, y, classes=CLASSES)

        def calls(model=model):
            for start in range(0, 1000, 100):
                model.partial_fit(X[start : start + 100], y[start : start + 100])

        actions.append(calls)
    settings = {"batch_size": 100, "random_state": 0, "alpha": 1e-4, "n_iter_no_change": None}

    def minibatches(n_epochs):
        EqPropClassifier(max_iter=n_epochs, **settings).fit(X, y)

    actions += [partial(minibatches, 1), partial(minibatches, 11)]
    ours, theirs, short, long = alternating(actions, 3 * repeats, processor_time)
    for other, side in (((long - short) / 10, "a minibatch within fit"), (theirs, "MLP's")):
        yield (
            f"digits, partial_fit on 100 rows, against {side}",
            f"{100 * ours:.2f} ms",
            f"{100 * other:.2f} ms",
            f"{ours / other:.2f}",
            "<= 1.25" if other is not theirs else "",
        )
