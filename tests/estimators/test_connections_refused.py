"""Graphs that make no network, or that a rule cannot train, are refused with a reason."""

import ast
import itertools
import re
import warnings

import numpy as np
import pytest
from sklearn.exceptions import ConvergenceWarning

from sklearn_eqprop import EqPropClassifier, EqPropRegressor
from sklearn_eqprop._sklearn_compat import InvalidParameterError
from tests.dense_graph import CHAIN, GRAPHS, GraphNet

pytestmark = pytest.mark.filterwarnings("ignore:Training reached max_iter")

SETTINGS = {"hidden_layer_sizes": (9, 7), "max_iter": 4, "batch_size": 16, "random_state": 0}
KINDS = pytest.mark.parametrize("estimator", [EqPropClassifier, EqPropRegressor])

BAD = {
    "empty": ([], r"no path leads from the input, layer 0, to layers 1, 2, 3"),
    "no pair": ([*CHAIN, (1,)], r"\(1,\) is not a pair of whole numbers"),
    "triple": ([*CHAIN, (1, 2, 3)], r"\(1, 2, 3\) is not a pair of whole numbers"),
    "number": ([*CHAIN, 3], r"3 is not a pair of whole numbers"),
    "text": ([*CHAIN, "12"], r"'12' is not a pair of whole numbers"),
    "fraction": ([*CHAIN, (1.0, 2)], r"\(1\.0, 2\) is not a pair of whole numbers"),
    "bool": ([*CHAIN, (True, 2)], r"\(True, 2\) is not a pair of whole numbers"),
    "too high": ([*CHAIN, (1, 4)], r"\(1, 4\) names a layer that does not exist.*to 3, the output"),
    "negative": ([*CHAIN, (-1, 2)], r"\(-1, 2\) names a layer that does not exist"),
    "into the input": ([*CHAIN, (1, 0)], r"\(1, 0\) leads to layer 0.*clamped"),
    "twice": ([*CHAIN, (1, 2)], r"\(1, 2\) is repeated"),
    "unreached": ([(0, 1), (1, 3), (3, 1), (2, 3)], r"to layer 2\. Add .*\(0, 2\)"),
    "dead end": ([(0, 1), (1, 2), (1, 3), (3, 1)], r"from layer 2 to the output.*\(2, 3\)"),
    "loop off the input": (
        [(0, 3), (1, 2), (2, 1), (2, 3)],
        r"from the input, layer 0, to layers 1, 2",
    ),
}


@KINDS
@pytest.mark.parametrize("case", BAD)
def test_connections_that_make_no_network(binary, estimator, case):
    value, message = BAD[case]
    said = re.escape(f"Got {value!r}: ")
    with pytest.raises(
        InvalidParameterError, match=rf"The 'connections' parameter.*{said}.*{message}"
    ):
        estimator(**SETTINGS, connections=value).fit(*binary)


@pytest.mark.parametrize(
    ("graph", "alone"),
    [
        ([*CHAIN, (1, 1)], r"none for \(1, 1\)\. "),
        ([*CHAIN, (3, 1), (2, 2)], r"none for \(3, 1\), \(2, 2\)\. "),
    ],
)
def test_tied_feedback_without_a_partner(binary, graph, alone):
    model = EqPropClassifier(**SETTINGS, connections=graph, feedback="tied")
    with pytest.raises(ValueError, match=f"feedback='tied'.*{alone}.*use feedback='untied'"):
        model.fit(*binary)


def test_a_nudge_that_does_not_arrive(binary):
    graph = [(0, 1), (1, 2), (2, 3), (3, 2), (0, 3)]
    with pytest.raises(
        ValueError, match=r"gradient='vector_field'.*from layer 3 to layer 1\. Add .*\(2, 1\), or"
    ):
        EqPropClassifier(**SETTINGS, connections=graph).fit(*binary)
    for gradient in ("asymmetric", "recurrent_backprop"):
        model = EqPropClassifier(**SETTINGS, connections=graph, gradient=gradient)
        assert model.fit(*binary).score(*binary) > 0.8


ADVICE = (
    r"Add connections such as (.*), or use gradient='asymmetric' or 'recurrent_backprop', which "
)


DEAF = [
    [(0, 1), (1, 2), (2, 3)],
    [(0, 1), (0, 2), (1, 3), (2, 3), (1, 2)],
    [(0, 1), (1, 2), (2, 3), (3, 2), (0, 3)],
]
#: Tied feedback would need partners for (2, 1) and (1, 1).
UNTIED = [
    [(0, 2), (2, 1), (1, 3)],
    [(0, 2), (1, 1), (1, 2), (2, 1), (2, 3)],  # from layer 2, a nudge gets to layer 1
]
CASES = [("untied", graph) for graph in UNTIED] + list(itertools.product(["untied", "tied"], DEAF))


@pytest.mark.parametrize(("feedback", "graph"), CASES, ids=str)
@pytest.mark.parametrize(
    ("settings", "more"),
    [
        ({}, {}),
        ({"gradient": "continual"}, {}),
        ({"feedback_learning": "homeostasis"}, {}),
        ({"beta": np.inf, "loss": "squared_error", "nudging": "one_sided"}, {"beta": 0.3}),
        ({"objective": "trajectory", "relaxation": "euler"}, {"objective": "fixed_point"}),
        ({"credit_coordinates": "rate", "activation": "tanh"}, {"credit_coordinates": "auto"}),
        ({"credit_coordinates": "rate"}, {}),
    ],
    ids=str,
)
@KINDS
def test_what_is_advised_is_not_refused(binary, estimator, settings, more, graph, feedback):
    settings = SETTINGS | {"max_iter": 1, "feedback": feedback} | settings
    with pytest.raises(ValueError, match="no path in connections leads from layer 3") as refusal:
        estimator(**settings, connections=graph).fit(*binary)
    said = re.search(ADVICE + r"need none(, with (.*))?\.$", str(refusal.value))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        added = ast.literal_eval(f"[{said[1]}]")
        estimator(**settings, connections=graph + added).fit(*binary)
        for gradient in ("asymmetric", "recurrent_backprop"):
            exact = settings | more | {"gradient": gradient}
            estimator(**exact, connections=graph).fit(*binary)
    for name, value in more.items():
        named = "a finite beta" if name == "beta" else f"{name}={value!r}"
        assert said[3] == named
    assert bool(said[3]) == bool(more)


def test_what_is_advised_for_any_graph_is_accepted(binary):
    X, y = binary[0][:8], binary[1][:8]
    every = list(itertools.product(range(5), range(1, 5)))
    rng = np.random.RandomState(0)
    n_advised = 0
    while n_advised < 40:
        graph = list(itertools.compress(every, rng.rand(len(every)) < 0.35))
        model = EqPropClassifier((2, 2, 2), max_iter=1, random_state=0, connections=graph)
        try:
            model.fit(X, y)
        except ValueError as error:
            said = re.search(ADVICE, str(error))
            if said:
                model.set_params(connections=[*graph, *ast.literal_eval(f"[{said[1]}]")])
                model.fit(X, y)
                n_advised += 1


def test_a_nudge_that_arrives_through_forward_connections_alone(binary):
    # 3 -> 1 -> 2: layer 2 hears of it, and learns.
    X, y = binary
    model = EqPropClassifier(**SETTINGS | {"max_iter": 1}, connections=GRAPHS["ring"])
    first = model.partial_fit(X, y, classes=[0, 1]).coefs_[1].copy()
    assert np.abs(model.partial_fit(X, y).coefs_[1] - first).max() > 1e-4


def test_every_graph_of_two_layers_fits_or_says_why(binary):
    X, y = binary
    every = list(itertools.product(range(3), (1, 2)))
    n_fitted = 0
    for chosen in itertools.product([False, True], repeat=len(every)):
        graph = list(itertools.compress(every, chosen))
        model = EqPropClassifier((5,), max_iter=1, random_state=0, connections=graph)
        try:
            model.fit(X, y)
        except ValueError as error:
            assert re.search(r"no path leads|no path in connections", str(error))  # noqa: PT017
            continue
        n_fitted += 1
        states = np.concatenate(model.relax(X).states, axis=1)
        net = GraphNet(
            "relu", model.connections_, model.coefs_, model.intercepts_, model.feedback_coefs_
        )
        assert net.residual(states, X).max() < 2e-10
    # (1, 2) and a way back, (2, 1); the input into 1, 2 or both; lateral ones at will.
    assert n_fitted == 3 * 4
