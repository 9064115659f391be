"""Messages whose remedy is followed: what they advise is named in them, and it works.

A row of the table has the parameters that are refused or warned about, and every remedy that the
message offers. Each remedy alone must end the trouble.
"""

import ast
import itertools
import re
import warnings

import numpy as np
import pytest
from scipy import sparse
from sklearn.base import clone
from sklearn.datasets import make_classification
from sklearn.multioutput import MultiOutputClassifier

from sklearn_eqprop import Conv2D, EqPropClassifier, EqPropRegressor
from sklearn_eqprop.exceptions import DivergenceError

INF = float("inf")
X, y = make_classification(40, 6, random_state=0)
MAX, MEAN = Conv2D(2, 1, pool=2), Conv2D(2, 1, pool=2, pooling="average")
C, R = EqPropClassifier, EqPropRegressor
ONE_SIDED, CLAMPED = {"nudging": "one_sided"}, {"beta": INF, "nudging": "one_sided"}
CENTERED = {"nudging": "centered"}
IMAGE = {"input_shape": (2, 3)}
TIED = {"feedback": "tied"}

#: estimator, parameters, remedies
TABLE = [
    # averages along a trajectory
    (C, {"objective": "trajectory"}, [{"relaxation": "euler"}, {"objective": "fixed_point"}]),
    (
        R,
        {"objective": "trajectory", "relaxation": "anderson", "gradient": "asymmetric"},
        [{"relaxation": "euler", "gradient": "vector_field"}, {"objective": "fixed_point"}],
    ),
    (
        C,
        {"objective": "trajectory", "gradient": "recurrent_backprop", "beta": INF},
        [
            {"relaxation": "euler", "gradient": "vector_field", "beta": 0.3},
            {"objective": "fixed_point"},
        ],
    ),
    (
        R,
        {"objective": "trajectory", "relaxation": "euler", **CLAMPED},
        [{"beta": 0.3}, {"objective": "fixed_point"}],
    ),
    (
        C,
        {"objective": "trajectory", "relaxation": "euler", **IMAGE}
        | {"hidden_layer_sizes": (Conv2D(2, 1), MAX)},
        [{"hidden_layer_sizes": (Conv2D(2, 1), MEAN)}, {"objective": "fixed_point"}],
    ),
    (
        C,
        {"objective": "trajectory", "relaxation": "euler", **CLAMPED},
        [{"beta": 0.3}, {"objective": "fixed_point", "loss": "squared_error"}],
    ),
    # an output that is held
    (
        C,
        CLAMPED | TIED | {"activation": "tanh", "credit_coordinates": "state"},
        [{"loss": "squared_error", "credit_coordinates": "auto"}, {"beta": 0.1}],
    ),
    (C, {"beta": INF}, [{"loss": "squared_error"}, {"beta": 0.1}]),
    (C, CLAMPED, [{"loss": "squared_error"}, {"beta": 0.1}]),
    (
        R,
        {"beta": INF, "gradient": "continual", "loss": "huber"} | CENTERED,
        [
            {"loss": "squared_error", "nudging": "one_sided", "gradient": "vector_field"},
            {"beta": 0.1},
        ],
    ),
    (
        R,
        {"beta": INF, "gradient": "asymmetric"} | CENTERED,
        [{"beta": 0.1}, ONE_SIDED | {"gradient": "vector_field"}],
    ),
    (
        R,
        CLAMPED | TIED | {"activation": "tanh", "credit_coordinates": "state"},
        [{"credit_coordinates": "auto"}, {"beta": 0.1}],
    ),
    # coordinates
    *(
        (
            C,
            {"gradient": gradient, "credit_coordinates": "rate", "activation": "logistic"},
            [{"credit_coordinates": "auto"}, {"gradient": "vector_field"}],
        )
        for gradient in ("asymmetric", "recurrent_backprop")
    ),
    # β
    (R, {"beta": 2.5} | CENTERED, [{"beta": 0.7}, ONE_SIDED]),
    (R, {"beta": -2.5} | CENTERED, [{"beta": -0.7}, ONE_SIDED | {"beta": 2.5}]),
    (R, {"beta": -1.0} | ONE_SIDED, [{"beta": -0.7}, {"beta": 1.0}]),
    (C, {"beta": 0}, [{"beta": 0.1}, {"beta": 1}]),
    (R, {"beta": -INF}, [{"beta": 0.1}]),
    # warnings
    (R, {"beta": 0.9} | CENTERED, [{"beta": 0.8}, ONE_SIDED]),
    (R, {"beta": -0.9} | ONE_SIDED, [{"beta": -0.8}, {"beta": 0.9}]),
    (R, {"beta": 0.89, "hidden_layer_sizes": (4, 4)} | CENTERED, [{"beta": 0.888}]),
    (
        R,
        {"beta": 1.5, "relaxation": "euler"} | ONE_SIDED,
        [{"step_size": 0.79}, {"beta": 0.5}],
    ),
    (R, {"beta": 2.0, "relaxation": "euler"} | ONE_SIDED, [{"step_size": 0.665}]),
    (
        C,
        IMAGE | {"hidden_layer_sizes": (Conv2D(2, 1), MAX), "activation": "tanh"},
        [
            {"activation": "relu"},
            {"hidden_layer_sizes": (Conv2D(2, 1), MEAN)},
        ],
    ),
    # layouts
    (C, {"hidden_layer_sizes": (MAX,)}, [{"input_shape": (2, 3)}, {"input_shape": (3, 2, 1)}]),
    (
        C,
        IMAGE | {"hidden_layer_sizes": (Conv2D(2, 3),)},
        [
            {"hidden_layer_sizes": (Conv2D(2, 2),)},
            {"hidden_layer_sizes": (Conv2D(2, 3, padding="same"),)},
        ],
    ),
    (
        C,
        IMAGE | {"hidden_layer_sizes": (Conv2D(2, 1, pool=3),)},
        [{"hidden_layer_sizes": (Conv2D(2, 1, pool=2),)}],
    ),
    (
        C,
        IMAGE | {"hidden_layer_sizes": (4, Conv2D(2, 1))},
        [{"hidden_layer_sizes": (Conv2D(2, 1), 4)}],
    ),
    # connections
    *(
        (C, {"connections": graph} | settings, remedies)
        for graph, settings, remedies in [
            (
                [(0, 1), (1, 2), (2, 1), (1, 1)],
                TIED,
                [{"connections": [(0, 1), (1, 2), (2, 1)]}, {"feedback": "untied"}],
            ),
            (
                [(0, 1), (1, 2), (2, 3), (3, 1), (2, 2)],
                TIED | {"hidden_layer_sizes": (4, 3)} | {"gradient": "recurrent_backprop"},
                [{"connections": [(0, 1), (1, 2), (2, 3), (3, 1), (1, 3)]}, {"feedback": "untied"}],
            ),
        ]
    ),
]


def troubles(model):
    """What fit has to say about the parameters."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            model.fit(X, y)
        except ValueError as error:
            return [str(error)]
    messages = [str(warning.message) for warning in caught]
    of_training = r"^(Training|The (free|nudged) phase did not|In the|Feedback carries)"
    return [message for message in messages if not re.match(of_training, message)]


@pytest.mark.parametrize("row", TABLE, ids=lambda row: f"{row[0].__name__} {row[1]}")
def test_remedy(row):
    kind, parameters, remedies = row
    model = kind(**{"hidden_layer_sizes": (4,), "max_iter": 1, "random_state": 0} | parameters)
    [message] = troubles(model)
    for remedy in remedies:
        for name in remedy:  # or what stands for it
            assert re.search(
                rf"\b({name}|pooling|pool|layers first|padding|kernel_size|add|remove)\b", message
            )
            if isinstance(remedy[name], str):
                assert f"{name}={remedy[name]!r}" in message
        assert troubles(clone(model).set_params(**remedy)) == []


def followed(model, message):
    """Change the connections of a model as a message says."""
    added = re.search(r"(?:Add connections such as|add) ((?:\(\d, \d\)(?:, )?)+)", message)
    removed = re.search(r"remove ((?:\(\d, \d\)(?:, )?)+)", message)
    add, remove = (
        list(ast.literal_eval(f"[{found[1]}]")) if found else [] for found in (added, removed)
    )
    assert add or remove, message
    return model.set_params(
        connections=[pair for pair in (*model.connections, *add) if pair not in remove]
    )


@pytest.mark.parametrize("feedback", ["untied", "tied"])
def test_connections_that_follow_the_messages_become_a_network(feedback):
    every = list(itertools.product(range(5), range(1, 5)))
    rng = np.random.RandomState(0)
    most = 0
    for _ in range(60):
        graph = list(itertools.compress(every, rng.rand(len(every)) < 0.3))
        model = C((2, 2, 2), max_iter=1, random_state=0, connections=graph, feedback=feedback)
        model.set_params(activation="hard_sigmoid", loop_gain=None)
        n_followed = 0
        while said := troubles(model):
            model = followed(model, said[0])
            n_followed += 1
        most = max(most, n_followed)
    assert most == (3 if feedback == "tied" else 2)  # paths, partners, ways back for the nudge


RUNS_AWAY = [
    ({"relaxation": "euler", "step_size": 1.0}, 40.0, "beta=40, states stopped being finite"),
    ({"relaxation": "euler", "step_size": 1.0, "max_nudge_iter": 3}, 1.5, "beta=1.5, .* 3 steps"),
    ({"max_nudge_iter": 2, "loop_gain": 0.9}, -0.9, "beta=-0.9, .* had not settled after 2 steps"),
]


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize(("settings", "beta", "message"), RUNS_AWAY)
def test_a_nudge_that_is_too_strong_is_named(settings, beta, message):
    model = R((4,), max_iter=2, random_state=0, **settings).fit(X, y)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            model.relax(X, y, beta=beta)
            said = str(caught[-1].message)
        except DivergenceError as error:
            said = str(error)
    assert re.search(
        rf"The free phase settles, but with {message}.*use a smaller \|beta\|", said, re.I
    )
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model.set_params(max_nudge_iter=200).relax(X, y, beta=0.3 * np.sign(beta))


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_a_free_phase_that_fails_is_not_blamed_on_the_nudge():
    model = R((4,), max_iter=2, random_state=0, max_relax_iter=1, step_size=0.1).fit(X, y)
    with pytest.warns(UserWarning, match="had not settled after .*max_relax_iter") as caught:
        model.relax(X, y, beta=0.3)
    assert "beta=" not in str(caught[0].message)


def test_forces_within_bounds_do_not_run_to_infinity():
    # The push of the log loss is at most β: what is lost is the free equilibrium, not the numbers.
    with pytest.raises(ValueError, match=r"make the free equilibrium unstable.*\|beta\| < 2"):
        C((4,), beta=2.5, nudging="centered").fit(X, y)
    with pytest.raises(ValueError, match=r"make the free equilibrium unstable") as caught:
        R((4,), beta=-2.5, loss="huber", max_iter=1).fit(X, y)
    assert "infinity" not in str(caught.value)
    assert "diverge" not in str(caught.value)


def fitted(kind=C, data=(X, y), **parameters):
    return kind(**{"hidden_layer_sizes": (4,), "max_iter": 1, "random_state": 0} | parameters).fit(
        *data
    )


BIG, DAYS = np.full(40, 1e307), np.datetime64("2020-01-01") + np.arange(40)
MANY = np.c_[y + 1, y]
LONG = y * np.longdouble("1e4000")
#: What was wrong, a part of the message that is its remedy, and calls that follow it.
DATA = {
    "integers among objects": (
        lambda: fitted(data=(X, y.astype(object))),
        "y.astype(int)",
        [lambda: fitted(data=(X, y.astype(object).astype(int)))],
    ),
    "labels of two kinds": (
        lambda: fitted(data=(X, np.where(y, "a", y.astype(object)))),
        "y.astype(str)",
        [lambda: fitted(data=(X, np.where(y, "a", y.astype(object)).astype(str)))],
    ),
    "text and numbers in a list": (
        lambda: fitted(data=(X, ["a", 1] * 20)),
        "Convert everything to text",
        [lambda: fitted(data=(X, ["a", "1"] * 20))],
    ),
    "several columns of labels": (
        lambda: fitted(data=(X, MANY)),
        "MultiOutputClassifier",
        [lambda: MultiOutputClassifier(C((4,), max_iter=1)).fit(X, MANY)],
    ),
    "sparse targets": (
        lambda: fitted(R, (X, sparse.csr_matrix(MANY))),
        "Pass y.toarray()",
        [lambda: fitted(R, (X, sparse.csr_matrix(MANY).toarray()))],
    ),
    "weights beyond any sum": (
        lambda: fitted(data=(X, y, BIG)),
        "divide all weights",
        [lambda: fitted(data=(X, y, BIG / 1e307))],
    ),
    "weights below any sum": (
        lambda: fitted(data=(X, y, np.full(40, 1e-320))),
        "multiply all weights",
        [lambda: fitted(data=(X, y, np.full(40, 1e-320) * 1e300))],
    ),
    "inputs beyond float32": (
        lambda: fitted(data=(X * 1e50, y), dtype="float32"),
        "Set dtype='float64', or divide the column",
        [
            lambda: fitted(data=(X * 1e50, y), dtype="float64"),
            lambda: fitted(data=(X * 1e50 / 1e50, y), dtype="float32"),
        ],
    ),
    "targets beyond float64": (
        lambda: fitted(R, (X, LONG)),
        "Divide it by a constant",
        [lambda: fitted(R, (X, LONG / np.longdouble("1e4000")))],
    ),
    "negative counts": (
        lambda: fitted(R, (X, y - 1), loss="poisson"),
        "Use another loss",
        [lambda: fitted(R, (X, y - 1), loss="huber")],
    ),
    "masked inputs": (
        lambda: fitted(data=(np.ma.masked_greater(X, 1.5), y)),
        "X.filled(...)",
        [lambda: fitted(data=(np.ma.masked_greater(X, 1.5).filled(0.0), y))],
    ),
    "dates": (
        lambda: fitted(data=(DAYS[:, None], y)),
        "days since the first day",
        [lambda: fitted(data=((DAYS - DAYS[0]).astype(int)[:, None], y))],
    ),
    "missing labels": (
        lambda: fitted(data=(X, [None, *y[1:]])),
        "leave out those rows",
        [lambda: fitted(data=(X[1:], [*y[1:]]))],
    ),
    "balanced weights of a stream": (
        lambda: C(class_weight="balanced").partial_fit(X, y, [0, 1]),
        "Pass a dict of weights, or sample_weight",
        [
            lambda: C(class_weight={0: 1, 1: 2}).partial_fit(X, y, [0, 1]),
            lambda: C().partial_fit(X, y, [0, 1], sample_weight=1.0 + y),
        ],
    ),
    "classes of a stream": (
        lambda: C().partial_fit(X, y),
        "Pass all labels",
        [lambda: C().partial_fit(X, y, classes=[0, 1])],
    ),
    "early stopping of a stream": (
        lambda: R(early_stopping=True).partial_fit(X, y),
        "Set it to False, or use fit",
        [
            lambda: R(early_stopping=False).partial_fit(X, y),
            lambda: R(early_stopping=True).fit(X, y),
        ],
    ),
    "no hidden layer to transform to": (
        lambda: fitted(hidden_layer_sizes=()).transform(X),
        "transform_layers=1",
        [lambda: fitted(hidden_layer_sizes=(), transform_layers=1).transform(X)],
    ),
    "a nudge without targets": (
        lambda: fitted().relax(X, beta=0.1),
        "pass the targets",
        [lambda: fitted().relax(X, y, beta=0.1)],
    ),
    "a clamped output under another loss": (
        lambda: fitted().relax(X, y, beta=INF),
        "Use an estimator fitted with loss='squared_error' or a finite beta",
        [
            lambda: fitted(loss="squared_error").relax(X, y, beta=INF),
            lambda: fitted().relax(X, y, beta=3.0),
        ],
    ),
    "a negative nudge without a bound": (
        lambda: fitted(R, loss="poisson").relax(X, y, beta=-0.1),
        "Use a positive beta",
        [lambda: fitted(R, loss="poisson").relax(X, y, beta=0.1)],
    ),
    "a missing class in a warm start": (
        lambda: fitted(warm_start=True).fit(X, 0 * y),
        "use partial_fit",
        [lambda: fitted(warm_start=True).partial_fit(X, 0 * y)],
    ),
    "other classes in a warm start": (
        lambda: fitted(warm_start=True).fit(X, y + 1),
        "leave out those rows",
        [lambda: fitted(warm_start=True).partial_fit(X[y == 0], (y + 1)[y == 0])],
    ),
    "validation without targets": (
        lambda: fitted(early_stopping=True, data=(X, y)).fit(X, y, X_val=X),
        "Pass X_val and y_val together",
        [lambda: fitted(early_stopping=True).fit(X, y, X_val=X, y_val=y)],
    ),
    "validation without early stopping": (
        lambda: fitted().fit(X, y, X_val=X, y_val=y),
        "Set early_stopping=True, or leave them out",
        [lambda: fitted(early_stopping=True).fit(X, y, X_val=X, y_val=y)],
    ),
    "tied feedback assigned": (
        lambda: setattr(fitted(feedback="tied"), "feedback_coefs_", []),
        "assign coefs_ instead",
        [lambda: setattr(fitted(feedback="tied"), "coefs_", fitted().coefs_)],
    ),
}


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("case", DATA)
def test_remedy_for_data(case):
    wrong, remedy, followed_by = DATA[case]
    with pytest.raises((ValueError, AttributeError)) as caught:
        wrong()
    assert remedy in str(caught.value)
    for follow in followed_by:
        follow()


CHOICES = {
    "hidden_layer_sizes": [(), (3,), (MAX,), (Conv2D(2, 1), MEAN, 3), (Conv2D(2, 1), MAX)],
    "activation": ["relu", "tanh"],
    "feedback": ["untied", "tied"],
    "gradient": ["vector_field", "asymmetric", "recurrent_backprop", "continual"],
    "credit_coordinates": ["auto", "state", "rate"],
    "nudging": ["one_sided", "centered", "random_sign"],
    "feedback_learning": ["kolen_pollack", "homeostasis"],
    "objective": ["fixed_point", "trajectory"],
    "beta": [0.5, -0.3, INF, 3.0],
    "relaxation": ["gauss_seidel", "euler", "anderson"],
    "loss": ["log_loss", "squared_error"],
}


def alternatives(message):
    """What a refusal of parameters offers after "Use": a dict for each "or"."""
    offered = re.search(r"Use (.*)\.$", message)
    assert offered, message
    for words in re.split(r",? or ", offered[1]):
        named = re.findall(r"(\w+)=('\w+')", words)
        found = {name: ast.literal_eval(value) for name, value in named}
        if re.search(r"a finite beta|a positive beta|\|beta\| <", words):
            found["beta"] = 0.4
        if found.pop("pooling", None):
            found["hidden_layer_sizes"] = (Conv2D(2, 1), MEAN)
        assert found, message
        yield found


def test_every_alternative_that_a_refusal_offers_works():
    rng, n_followed = np.random.RandomState(0), 0
    for _ in range(150):
        names = rng.choice(list(CHOICES), size=rng.randint(2, 7), replace=False)
        drawn = {name: CHOICES[name][rng.randint(len(CHOICES[name]))] for name in names}
        model = C(**{"hidden_layer_sizes": (3,), "max_iter": 1, "random_state": 0} | IMAGE | drawn)
        left = [(model, 2)]  # two faults of their own, such as β for the loss, need two steps
        while left:
            model, n_steps = left.pop()
            refusal = r"does not go with|is too large for loss"
            refused = [message for message in troubles(model) if re.search(refusal, message)]
            for message in refused:
                assert n_steps, message
                for changes in alternatives(message):
                    left.append((clone(model).set_params(**changes), n_steps - 1))
                    n_followed += 1
    assert n_followed > 50
