"""What the update tends to as β goes to 0, and what the health report advises of it."""

import warnings

import numpy as np
import pytest

from sklearn_eqprop import EqPropRegressor
from sklearn_eqprop.diagnostics import gradient_alignment, health_report
from tests.dense_graph import CHAIN
from tests.diagnostics.graphs import graph_problem
from tests.diagnostics.twins import problem, twin

#: Rules whose synapses read states or rates, with exact gradients or not.
RULES = {
    "tied, in rates": {"feedback": "tied"},
    "tied, in states": {"feedback": "tied", "credit_coordinates": "state"},
    "followed, in rates": {"feedback_learning": "kolen_pollack"},
    "followed, in states": {"feedback_learning": "kolen_pollack", "credit_coordinates": "state"},
    "its own, in states": {"feedback_learning": "local"},
    "its own, in rates": {"feedback_learning": "local", "credit_coordinates": "rate"},
    "as it is": {"layerwise_rescale": False},
    "random sign": {"nudging": "random_sign", "beta": 0.3},
    "continual": {"gradient": "continual", "learning_rate_init": 1e-5},
    "asymmetric": {"gradient": "asymmetric"},
    "recurrent backprop": {"gradient": "recurrent_backprop"},
    "GeneRec": {"feedback_learning": "local", "beta": np.inf},
    "contrastive Hebbian": {"feedback": "tied", "beta": np.inf},
}


def _model(activation="tanh", **parameters):
    net, X, Y = problem(activation, tied=parameters.get("feedback") == "tied")
    settings = {"nudging": "one_sided", "beta": 0.5} | parameters
    model, y = twin(net, "squared_error", X, Y, **settings)
    return model, X, y


def _with_a_weak_nudge(model):
    many = {"max_nudge_iter": 10_000, "max_relax_iter": 10_000}
    return model.set_params(beta=1e-5, relax_tol=1e-13, **many)


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("activation", ["tanh", "hard_sigmoid"])
def test_the_limit_is_that_of_weaker_and_weaker_nudges(activation, rule):
    model, X, y = _model(activation, **RULES[rule])
    found = gradient_alignment(model, X, y)
    weak = gradient_alignment(_with_a_weak_nudge(model), X, y)
    assert found.limit == pytest.approx(weak.update, abs=1e-5)
    assert found.limit == pytest.approx(weak.limit, abs=1e-12)
    for block, of_weak in zip(found.blocks, weak.blocks, strict=True):
        assert (block.limit_cosine is None) == (block.update_cosine is None)
        if block.limit_cosine is not None:
            assert block.limit_cosine == pytest.approx(of_weak.update_cosine, abs=1e-4)


def test_the_limit_is_the_cosine_of_nu_in_states_only():
    states = gradient_alignment(*_model(feedback="tied", credit_coordinates="state"))
    assert all(block.limit_cosine == block.cosine for block in states.blocks)
    rates = gradient_alignment(*_model(feedback="tied"))
    assert min(block.cosine for block in rates.blocks) < 0.99
    assert min(block.limit_cosine for block in rates.blocks) > 1 - 1e-9
    assert rates.limit > 1 - 1e-9
    assert f"{rates.limit:+.4f}" in str(rates).splitlines()[-2]


def _strongly_nudged(seed):
    """Tied tanh units, in rate coordinates, whose slopes differ so much that ν goes astray."""
    rng = np.random.RandomState(0)
    X, Y = rng.standard_normal((60, 4)), rng.standard_normal((60, 2))
    settings = {"feedback": "tied", "nudging": "one_sided", "beta": 3.0, "loop_gain": None}
    settings["feedback_scale"] = 1.0
    model = EqPropRegressor((8, 6), activation="tanh", random_state=seed, max_iter=2, **settings)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model.fit(X, Y)
    rng = np.random.RandomState(seed)
    model.intercepts_ = [np.zeros_like(bias) for bias in model.intercepts_]
    model.coefs_ = [
        rng.standard_normal(coef.shape) * gain / np.sqrt(coef.shape[0])
        for coef, gain in zip(model.coefs_, (2.5, 0.6, 0.6), strict=True)
    ]
    return model, X, Y


@pytest.mark.parametrize("seed", [23, 32, 41])
def test_a_nudge_too_strong_in_rate_coordinates(seed):
    model, X, Y = _strongly_nudged(seed)
    found = gradient_alignment(model, X, Y)
    weakest = min(
        (b for b in found.blocks if b.role == "forward"), key=lambda block: block.update_cosine
    )
    assert weakest.cosine < 0.8  # of ν, which nothing here follows
    check = health_report(model, X, Y)["alignment"]
    assert check.value < 0.7
    assert check.remedy == (
        "Use a smaller |beta| (now 3) and a tighter relax_tol (now 'auto'): as both go to 0, the "
        f"cosine for {weakest.name} goes to 1.00. nudging='centered' is more accurate once beta is "
        "small."
    )
    apart = {}
    for nudging in ("one_sided", "centered"):
        model.set_params(beta=1e-3, relax_tol=1e-8, nudging=nudging)
        apart[nudging] = 1 - health_report(model, X, Y)["alignment"].value
    assert apart["centered"] < apart["one_sided"] < 0.01


def test_a_nudge_too_strong_in_states():
    net, X, Y = problem("hard_sigmoid", tied=True)
    nudge = {"nudging": "centered", "beta": 0.9}
    model, y = twin(net, "squared_error", X, Y + 3, **nudge)
    check = health_report(model, X, y)["alignment"]
    assert check.verdict == "watch"
    assert "Use a smaller |beta| (now 0.9) and" in check.remedy
    assert "as both go to 0, the cosine for F_1 goes to 1.00" in check.remedy
    assert "centered" not in check.remedy
    assert health_report(model.set_params(beta=0.01), X, y)["alignment"].value > 0.99


def _misaligned(activation="tanh", **parameters):
    net, X, Y = problem(activation)
    net.feedback[:] = [-0.3 * forward.T for forward in net.coefs[1:]]
    settings = {"nudging": "one_sided", "beta": 0.1} | parameters
    model, y = twin(net, "squared_error", X, Y, **settings)
    return health_report(model, X, y)["alignment"].remedy, gradient_alignment(model, X, y)


def test_the_limit_of_misaligned_feedback_is_told():
    remedy, found = _misaligned(feedback_learning="local")
    lowest = min((b for b in found.blocks if b.role == "forward"), key=lambda b: b.limit_cosine)
    assert lowest.limit_cosine < 0
    assert remedy == (
        f"A smaller |beta| is not enough: as it goes to 0, the cosine for {lowest.name} goes to "
        f"{lowest.limit_cosine:.2f}. Options: feedback_learning='kolen_pollack' keeps feedback "
        "aligned; gradient='recurrent_backprop', or 'asymmetric' with beta='auto', is exact with "
        "any feedback."
    )


def test_what_is_done_already_is_not_advised():
    remedy, _ = _misaligned("hard_sigmoid")
    assert "kolen_pollack" not in remedy
    assert "credit_coordinates" not in remedy
    assert "gradient='recurrent_backprop', or 'asymmetric' with beta='auto', is exact" in remedy
    turned = _misaligned(feedback_init="independent")[0]
    assert "Options: feedback_init='transpose' keeps feedback aligned" in turned
    both = _misaligned(feedback_init="independent", feedback_learning="local")[0]
    assert "feedback_init='transpose' with feedback_learning='kolen_pollack' keeps" in both
    assert "or 'asymmetric', is exact" in _misaligned(beta="auto")[0]


@pytest.mark.parametrize(
    ("beta", "also"), [(0.1, "credit"), (np.inf, "a finite beta and credit")], ids=str
)
def test_exact_rules_are_advised_without_what_they_refuse(beta, also):
    remedy, _ = _misaligned(feedback_learning="local", credit_coordinates="rate", beta=beta)
    assert (
        f"gradient='recurrent_backprop', with {also}_coordinates='auto', or 'asymmetric' with "
        "beta='auto' and credit_coordinates='auto', is exact"
    ) in remedy


def test_smooth_units_are_advised_to_read_rates():
    assert "credit_coordinates" not in _misaligned()[0]  # they do
    assert "credit_coordinates='rate' is exact" in _misaligned(credit_coordinates="state")[0]
    turned, _ = _misaligned(feedback_learning="homeostasis", credit_coordinates="state")
    assert "credit_coordinates='rate' is exact" in turned
    assert "credit_coordinates" not in _misaligned(feedback_learning="homeostasis")[0]
    assert "credit_coordinates" not in _misaligned(feedback_learning="local")[0]
    # Where the output is held they do, whatever smaller nudges would ask for.
    clamped, _ = _misaligned(feedback_learning="local", beta=np.inf)
    assert "'recurrent_backprop', with a finite beta, or 'asymmetric' with" in clamped
    # It helps tied networks.
    model, X, Y = _strongly_nudged(23)
    model.set_params(beta=0.05, credit_coordinates="state")
    check = health_report(model, X, Y)["alignment"]
    assert check.verdict == "watch"
    assert "credit_coordinates='rate'" in check.remedy
    assert "kolen_pollack" not in check.remedy
    model.set_params(credit_coordinates="rate")
    assert health_report(model, X, Y)["alignment"].value > 0.95


def test_layers_out_of_proportion_are_advised_to_be_rescaled():
    net, X, Y = problem("hard_sigmoid")
    # Large inputs on small weights: the first layer makes most of the gradient.
    X, net.coefs[0] = 30 * X, net.coefs[0] / 30
    net.feedback[:] = [0.1 * forward.T for forward in net.coefs[1:]]
    settings = {"nudging": "one_sided", "beta": 0.01, "layerwise_rescale": False}
    model, y = twin(net, "squared_error", X, Y, **settings)
    check = health_report(model, X, y)["alignment"]
    assert check.verdict == "watch"
    assert "the cosine overall goes to" in check.remedy
    assert "layerwise_rescale=True brings the layers into proportion" in check.remedy
    model.set_params(layerwise_rescale=True)
    assert health_report(model, X, y)["alignment"].value > 0.95


def test_feedback_without_a_partner_cannot_follow():
    ring = ((0, 1), (1, 2), (2, 3), (3, 1))
    settings = {"gradient": "vector_field", "nudging": "one_sided", "beta": 0.1}
    _, X, _, model, y = graph_problem(ring, feedback_learning="local", **settings)
    remedy = health_report(model, X, y)["alignment"].remedy
    assert "is not enough" in remedy
    assert "kolen_pollack" not in remedy
    assert "is exact with any feedback" in remedy
    _, X, _, model, y = graph_problem(
        (*CHAIN, (0, 3), (1, 1)), feedback_learning="local", **settings
    )
    assert "kolen_pollack" in health_report(model, X, y)["alignment"].remedy


def test_phases_that_run_away_are_not_advised_what_they_do():
    net, X, Y = problem("identity", tied=True, gain=0.78)
    for nudge, advised in (
        ({"nudging": "centered"}, True),
        ({"nudging": "one_sided", "beta": -0.5}, False),
    ):
        model, y = twin(net, "squared_error", X, Y, **nudge)
        check = health_report(model, X, y)["alignment"]
        assert "diverge at beta=" in check.finding
        assert ("one_sided" in check.remedy) == advised
