"""`substrate=...`: every method of an estimator goes through hardware, with all its options."""

from dataclasses import dataclass

import numpy as np
import pytest
from numpy.testing import assert_array_equal
from scipy import sparse
from sklearn.base import clone
from sklearn.datasets import load_diabetes, load_iris
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler, scale
from sklearn.utils.estimator_checks import parametrize_with_checks

from sklearn_eqprop import Conv2D, EqPropClassifier, EqPropRegressor
from sklearn_eqprop._estimators.parameters.checks import DECIDED_BY_HARDWARE
from sklearn_eqprop.diagnostics import gradient_alignment, health_report
from sklearn_eqprop.exceptions import SubstrateError
from sklearn_eqprop.substrates import AnalogChip
from tests.estimators.test_model_files import through_copy, through_pickle, through_skops
from tests.substrates.described import Simulated, Verbs

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
SETTINGS = {"hidden_layer_sizes": (6,), "max_iter": 3, "random_state": 0, "alpha": 1e-3}
TIGHT = {"relax_tol": 1e-12, "max_relax_iter": 500, "max_nudge_iter": 500}


@pytest.fixture
def iris():
    X, y = load_iris(return_X_y=True)
    return scale(X), y


def same(one, other, tolerance=1e-9):
    for ours, theirs in zip(
        [*one.coefs_, *one.feedback_coefs_, *one.intercepts_],
        [*other.coefs_, *other.feedback_coefs_, *other.intercepts_],
        strict=True,
    ):
        np.testing.assert_allclose(ours, theirs, rtol=0, atol=tolerance)


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"hidden_layer_sizes": (6, 5, 4), "loop_gain": 0.6},
        {"feedback": "tied"},
        {"nudging": "centered", "loss": "squared_error"},
        {"nudging": "random_sign", "feedback_learning": "local"},
        {"early_stopping": True, "scoring": "loss"},
        {"early_stopping": True, "scoring": "balanced_accuracy"},
        {"alpha": "auto", "max_iter": 12},
        {"batch_size": 150},
        {"connections": [(0, 1), (0, 2), (1, 2), (2, 1), (1, 1)]},
        {"restore_best_weights": True, "optimizer": "sgd", "learning_rate": "adaptive"},
    ],
)
def test_the_simulated_network_as_hardware_learns_the_same(iris, settings):
    X, y = iris
    model = EqPropClassifier(**SETTINGS | settings)
    hardware = clone(model).set_params(substrate=Simulated()).fit(X, y)
    direct = model.set_params(**TIGHT).fit(X, y)
    same(hardware, direct)
    assert hardware.substrate_.n_settled > 0
    assert direct.substrate_ is None
    assert hardware.alpha_ == direct.alpha_
    np.testing.assert_allclose(hardware.loss_curve_, direct.loss_curve_, atol=1e-9)
    for method in ("predict", "predict_proba", "decision_function", "transform"):
        before = hardware.substrate_.n_settled
        ours, theirs = getattr(hardware, method)(X), getattr(direct, method)(X)
        np.testing.assert_allclose(ours, theirs, atol=1e-9)
        assert hardware.substrate_.n_settled > before
    for arguments in ((X,), (X, y, 0.3)):
        for ours, theirs in zip(
            hardware.relax(*arguments).states, direct.relax(*arguments).states, strict=True
        ):
            np.testing.assert_allclose(ours, theirs, atol=1e-8)


def test_rates_of_smooth_units_and_regression():
    X, y = load_diabetes(return_X_y=True)
    chip = AnalogChip(
        mismatch=0, noise=0, bits=None, free_steps=200, nudged_steps=200, read_steps=1
    )
    settings = SETTINGS | {"activation": "tanh", "max_iter": 2}
    model = EqPropRegressor(**settings)
    assert model.credit_coordinates == "auto"  # which are rates here
    hardware = clone(model).set_params(substrate=chip).fit(scale(X), y)
    direct = model.set_params(**TIGHT).fit(scale(X), y)
    same(hardware, direct, 1e-8)
    np.testing.assert_allclose(hardware.predict(scale(X)), direct.predict(scale(X)), rtol=1e-6)
    # Without slopes, states are used.
    hardware = clone(hardware).set_params(substrate=Simulated()).fit(scale(X), y)
    same(hardware, model.set_params(credit_coordinates="state").fit(scale(X), y), 1e-8)


def test_partial_fit_continues_on_the_same_hardware(iris):
    X, y = iris
    model = EqPropClassifier(**SETTINGS, substrate=Simulated())
    hardware = model.partial_fit(X, y, classes=[0, 1, 2]).substrate_
    assert model.partial_fit(X, y).substrate_ is hardware
    direct = EqPropClassifier(**SETTINGS, **TIGHT)
    direct.partial_fit(X, y, classes=[0, 1, 2]).partial_fit(X, y)
    same(model, direct)
    assert model.fit(X, y).substrate_ is not hardware
    hardware = model.substrate_
    assert model.set_params(warm_start=True).fit(X, y).substrate_ is hardware


def test_sparse_inputs_and_columns_of_any_size(iris):
    X, y = iris
    model = EqPropClassifier(**SETTINGS, substrate=Simulated())
    thin = sparse.random(150, 40, density=0.03, format="csr", random_state=0)
    same(clone(model).fit(thin, y), clone(model).fit(thin.toarray(), y))
    thin_model = clone(model).fit(thin, y)
    assert_array_equal(thin_model.predict(thin), thin_model.predict(thin.toarray()))
    seen = []

    @dataclass(frozen=True)
    class Watching(Simulated):
        def connect(self, record):
            hardware = super().connect(record)
            settle = hardware.settle
            hardware.settle = lambda inputs: seen.append(inputs.copy()) or settle(inputs)
            return hardware

    with pytest.warns(UserWarning, match="X"):
        EqPropClassifier(**SETTINGS, substrate=Watching()).fit(X * [1, 1, 1, 1e5], y)
    assert np.abs(seen[0][:, 3]).max() > 1e4  # the numbers of X themselves


@pytest.mark.parametrize("through", [through_pickle, through_skops, through_copy])
def test_clones_copies_and_files_connect_their_own(iris, through, tmp_path):
    X, y = iris
    chip = AnalogChip(random_state=None)
    model = EqPropClassifier(**SETTINGS, substrate=chip).fit(X, y)
    assert not hasattr(clone(model), "substrate_")
    assert clone(model).substrate == chip
    copies = [through(model, tmp_path) for _ in range(2)]
    # The same chip, although its seed is not given, and the same noise from here on.
    expected = model.relax(X).states[-1]
    for each in copies:
        assert_array_equal(each.relax(X).states[-1], expected)
        assert each.substrate_ is not model.substrate_
    model.partial_fit(X, y)
    same(copies[0].partial_fit(X, y), model, 0)
    copies[1].relax(X)
    assert copies[1].relax(X).states[-1].std() > 0


def test_a_copied_network_is_a_changed_parameter(iris):
    X, y = iris
    ideal = EqPropClassifier(**SETTINGS | {"max_iter": 30}).fit(X, y)
    before = {name: value for name, value in vars(ideal).items() if name != "substrate"}
    exact = ideal.decision_function(X)
    ideal.set_params(substrate=AnalogChip(mismatch=0.3, random_state=0))
    copied = ideal.decision_function(X)
    assert 0.02 < np.abs(copied - exact).mean() < 1
    assert ideal.substrate_ is None  # nothing was trained on the chip
    assert {k: v for k, v in vars(ideal).items() if k in before}.keys() == before.keys()
    ideal.set_params(substrate=None)
    np.testing.assert_allclose(ideal.decision_function(X), exact)
    # Trained in place, from the ideal weights.
    ideal.set_params(substrate=AnalogChip(mismatch=0.3, random_state=0), warm_start=True)
    assert ideal.score(X, y) <= ideal.fit(X, y).score(X, y)


def test_a_parameter_of_a_chip_that_changes_after_fit_makes_another_chip(iris):
    X, y = iris
    chip = AnalogChip(noise=0, random_state=0)
    model = EqPropClassifier(**SETTINGS, substrate=chip).fit(X, y)
    expected = model.decision_function(X)
    model.set_params(substrate__bits=2)
    assert np.abs(model.decision_function(X) - expected).max() > 1e-3
    model.set_params(substrate__bits=6)
    assert_array_equal(model.decision_function(X), expected)


def test_searches_pipelines_and_cross_validation(iris):
    X, y = iris
    settings = SETTINGS | {"max_iter": 20, "batch_size": 10}
    model = EqPropClassifier(**settings, substrate=AnalogChip(random_state=0))
    grid = {"substrate__bits": [2, 6], "substrate__mismatch": [0.0]}
    search = GridSearchCV(model, grid, cv=2).fit(X, y)
    assert {p["substrate__bits"] for p in search.cv_results_["params"]} == {2, 6}
    assert search.best_score_ > 0.7
    values = [None, AnalogChip(bits=3)]
    search = GridSearchCV(model, {"substrate": values}, cv=2).fit(X, y)
    assert search.best_params_["substrate"] in values
    assert cross_val_score(make_pipeline(StandardScaler(), model), X, y, cv=3).mean() > 0.8


def test_fits_with_one_seed_are_equal(iris):
    X, y = iris
    model = EqPropClassifier(**SETTINGS, substrate=AnalogChip(random_state=1))
    same(clone(model).fit(X, y), model.fit(X, y).fit(X, y), 0)
    other = clone(model).set_params(substrate__random_state=2).fit(X, y)
    assert np.abs(other.coefs_[0] - model.coefs_[0]).max() > 1e-4


class Failing(Verbs):
    """Hardware that fails in one of its calls."""

    countdown = None

    def _fail(self, call):
        if self.countdown is not None and call == self.fault:
            self.countdown -= 1
            if self.countdown == 0:
                raise TimeoutError("no answer within 2 s")
            if self.countdown == -1:
                return True
        return False

    def settle(self, inputs):
        self._fail("settle")
        return super().settle(inputs)

    def settle_nudged(self, *arguments):
        results = super().settle_nudged(*arguments)
        self._fail("settle_nudged")
        if self.fault == "nan":
            self.countdown -= 1
            if self.countdown == 0:
                results[0].states[0][2] = np.nan
        return results

    def local_change(self, *arguments):
        self._fail("local_change")
        return super().local_change(*arguments)


@dataclass(frozen=True)
class Fails(Simulated):
    at: int = 5

    def connect(self, record):
        hardware = Failing(record, self.fault)
        hardware.countdown = self.at
        return hardware


@pytest.mark.slow
@parametrize_with_checks(
    [
        kind((8,), substrate=AnalogChip(noise=0, bits=8, random_state=0), random_state=0)
        for kind in (EqPropClassifier, EqPropRegressor)
    ]
)
def test_estimator_checks(estimator, check):
    check(estimator)


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        ("settle", r"settle failed. TimeoutError: no answer within 2 s\.$"),
        ("settle_nudged", r"settle_nudged \(beta=0.5\) failed. TimeoutError"),
        ("local_change", r"local_change failed. TimeoutError"),
        ("nan", r"settle_nudged \(beta=0.5\), layer 1: 6 of 300 numbers are not finite. Look at"),
    ],
)
@pytest.mark.parametrize("method", ["fit", "partial_fit"])
def test_hardware_that_fails_in_the_middle_leaves_the_estimator_as_it_was(
    iris, fault, message, method
):
    X, y = iris
    settings = SETTINGS | {"batch_size": 50, "max_iter": 5}
    model = EqPropClassifier(**settings, substrate=Fails(fault))
    if method == "partial_fit":
        model.partial_fit(X, y, classes=[0, 1, 2])
    before = dict(vars(model))
    weights = [w.copy() for w in before.get("coefs_", [])]
    with pytest.raises(SubstrateError, match=message):
        getattr(model, method)(X, y)
    assert vars(model).keys() == before.keys()
    assert all(vars(model)[name] is value for name, value in before.items())
    for kept, old in zip(before.get("coefs_", []), weights, strict=True):
        assert_array_equal(kept, old)
    if method == "partial_fit":
        # The hardware has failed, and works again: it gets the weights of the estimator.
        direct = EqPropClassifier(**settings, **TIGHT).partial_fit(X, y, classes=[0, 1, 2])
        ours, theirs = model.decision_function(X), direct.decision_function(X)
        np.testing.assert_allclose(ours, theirs, atol=1e-8)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"relaxation": "euler"}, "relaxation='euler': the hardware settles in its own way"),
        ({"relax_tol": 1e-3, "step_size": 0.5}, "step_size=0.5: .* Nor .* relax_tol=0.001"),
        ({"objective": "trajectory", "relaxation": "euler"}, "objective='trajectory': hardware"),
        ({"nudging": 4, "activation": "tanh"}, "nudging=4: no hardware can be pushed with complex"),
        ({"backend": "cupy"}, "backend='cupy': hardware takes and returns NumPy arrays"),
        ({"average_weights": True}, "average_weights=True: hardware holds one set of weights"),
        ({"checkpoint": "fit.joblib"}, "checkpoint='fit.joblib': a file cannot hold the state"),
        ({"gradient": "asymmetric"}, "connections .* in reverse, .* no method settle_corrected"),
        ({"gradient": "recurrent_backprop"}, "no method settle_adjoint.* gradient='vector_field'"),
        ({"gradient": "continual"}, "no method flow"),
        ({"beta": float("inf"), "loss": "squared_error"}, "beta=inf: .* no method settle_clamped"),
        ({"feedback_learning": "homeostasis"}, "no method local_asymmetry.*'kolen_pollack'"),
        ({"credit_coordinates": "rate", "activation": "tanh"}, "'rate': .*no method slopes"),
    ],
)
def test_what_hardware_cannot_do_is_refused_before_training(iris, settings, message):
    model = EqPropClassifier(**SETTINGS | settings, substrate=Simulated())
    with pytest.raises(
        ValueError, match=rf"substrate=Simulated\(.*\) does not go with .*{message}"
    ):
        model.fit(*iris)
    assert not hasattr(model, "coefs_")


def test_hardware_says_what_it_cannot_do(iris):
    @dataclass(frozen=True)
    class OneWay(Simulated):
        def connect(self, record):
            hardware = super().connect(record)
            hardware.pushes_away = False
            return hardware

    with pytest.raises(ValueError, match=r"pushes_away=False. Use nudging='one_sided'"):
        EqPropClassifier(**SETTINGS, substrate=OneWay(), nudging="centered").fit(*iris)
    EqPropClassifier(**SETTINGS, substrate=OneWay()).fit(*iris)
    images, y = np.random.RandomState(0).standard_normal((20, 16)), np.arange(20) % 2
    conv = {"hidden_layer_sizes": (Conv2D(2, 3, pool=2),), "input_shape": (4, 4)}
    with pytest.raises(SubstrateError, match=r"connect failed. ValueError: The chip has no max"):
        EqPropClassifier(**SETTINGS | conv, substrate=AnalogChip()).fit(images, y)


class NotAValue:
    def connect(self, record):
        raise AssertionError


def test_a_description_must_be_a_value(iris):
    with pytest.raises(ValueError, match=r"does not equal a copy of itself.*dataclass"):
        EqPropClassifier(**SETTINGS, substrate=NotAValue()).fit(*iris)
    with pytest.raises(ValueError, match=r"'substrate' parameter.*'connect'"):
        EqPropClassifier(**SETTINGS, substrate="chip").fit(*iris)


def test_relax_refuses_to_clamp_what_cannot_be_clamped(iris):
    X, y = iris
    settings = SETTINGS | {"loss": "squared_error"}
    model = EqPropClassifier(**settings, substrate=Simulated()).fit(X, y)
    with pytest.raises(SubstrateError, match=r"settle_clamped\. Use a finite beta"):
        model.relax(X, y, beta=float("inf"))


def test_diagnostics_examine_the_record(iris):
    X, y = iris
    model = EqPropClassifier(**SETTINGS, substrate=AnalogChip(random_state=0)).fit(X, y)
    found = gradient_alignment(model, X, y)
    assert found.overall == gradient_alignment(model.set_params(substrate=None), X, y).overall
    health_report(model.set_params(substrate=AnalogChip(random_state=0)), X, y)


def test_parameters_of_the_simulation_have_their_defaults():
    defaults = EqPropClassifier().get_params()
    assert {name: defaults[name] for name in DECIDED_BY_HARDWARE} == DECIDED_BY_HARDWARE
