"""The health report on what was learned: does it fit, does it overfit, is the rate too large?"""

import warnings

import numpy as np
import pytest
from sklearn.datasets import load_diabetes, load_iris
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss
from sklearn.preprocessing import StandardScaler

from sklearn_eqprop import EqPropClassifier, EqPropRegressor
from sklearn_eqprop.diagnostics import HealthReportDisplay, health_report
from tests.diagnostics.twins import problem, twin
from tests.estimators.listening import assert_nothing_in_force


def scaled(load):
    X, y = load(return_X_y=True)
    return StandardScaler().fit_transform(X), y


def fitted(model, X, y):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return model.fit(X, y)


@pytest.fixture(scope="module")
def flowers():
    X, y = scaled(load_iris)
    return EqPropClassifier((20,), max_iter=60, random_state=0), X, y


@pytest.fixture(scope="module")
def memorised():
    """A network that has learned noise by heart, and rows that it has not seen."""
    rng = np.random.RandomState(0)
    X = rng.standard_normal((160, 20))
    y = (X[:, 0] + 1.5 * rng.standard_normal(160) > 0).astype(int)
    model = EqPropClassifier((50,), learning_rate_init=0.02, alpha=1e-4, random_state=0)
    return fitted(model, X[:80], y[:80]), X[:80], y[:80], X[80:], y[80:]


def test_a_good_fit_in_numbers(flowers):
    model, X, y = flowers
    report = health_report(fitted(model, X, y), X, y)
    check = report["fit"]
    assert check.value == pytest.approx(
        1 - log_loss(y, model.predict_proba(X)) / np.log(3), abs=1e-4
    )
    assert f"accuracy on these rows is {model.score(X, y):.4g}, and 0.3333 for" in check.finding
    assert (check.verdict, check.remedy) == ("good", "")
    assert report["learning rate"].verdict == "good"


@pytest.mark.parametrize("rate", [30.0, 300.0])
def test_a_fit_worse_than_a_constant_is_bad(rate):
    X, y = scaled(load_diabetes)
    model = EqPropRegressor(learning_rate_init=rate, max_iter=20, random_state=0)
    fitted(model, X, y)
    assert model.score(X, y) < -100
    report = health_report(model, X, y)
    assert report.verdict == report["fit"].verdict == report["learning rate"].verdict == "bad"
    assert report["fit"].value == pytest.approx(model.score(X, y), rel=1e-3)
    lower = f"Lower learning_rate_init (now {rate})."
    assert report["fit"].remedy == report["learning rate"].remedy == lower
    report = health_report(fitted(model.set_params(learning_rate_init=1e-3), X, y), X, y)
    assert report["learning rate"].verdict == "good"
    assert report["fit"].verdict != "bad"


def test_a_rate_that_hurt_on_the_way_is_to_be_watched():
    X, y = scaled(load_diabetes)
    settings = {"learning_rate_init": 0.3, "alpha": 1e-4, "nudging": "centered", "random_state": 0}
    model = fitted(EqPropRegressor(**settings), X, y)
    check = health_report(model, X, y)["learning rate"]
    assert check.verdict == "watch"
    assert check.value == pytest.approx(max(model.loss_curve_) / 0.5)  # standardised targets


def test_an_unfinished_fit_names_more_epochs(flowers):
    _, X, y = flowers
    model = EqPropClassifier((20,), learning_rate_init=1e-5, max_iter=5, random_state=0)
    check = health_report(fitted(model, X, y), X, y)["fit"]
    assert check.verdict != "good"
    assert "aise max_iter (now 5)" in check.remedy
    assert "StandardScaler" not in check.remedy
    assert (
        health_report(fitted(model.set_params(max_iter=60, learning_rate_init=1e-2), X, y), X, y)[
            "fit"
        ].verdict
        == "good"
    )
    inputs, y = 10 * X + 3, (y + 1) % 3
    check = health_report(fitted(model.set_params(learning_rate_init=1e-9), inputs, y), inputs, y)
    assert "Scale the inputs (StandardScaler)" in check["fit"].remedy


def test_labels_may_be_right_although_probabilities_are_wrong(flowers):
    _, X, y = flowers
    model = fitted(EqPropClassifier((), max_iter=60, random_state=0), X, y)
    line = LogisticRegression(C=1e4, max_iter=1000).fit(X, y)
    model.coefs_[0][:], model.intercepts_[0][:] = 1e3 * line.coef_.T, 1e3 * line.intercept_
    assert model.score(X, y) > 0.95
    check = health_report(model, X, y)["fit"]
    assert check.value < 0
    assert check.verdict == "watch"


def test_overfitting_shows_on_other_rows(memorised):
    model, X, y, X_test, y_test = memorised
    report = health_report(model, X, y, X_test=X_test, y_test=y_test)
    train, test = model.score(X, y), model.score(X_test, y_test)
    assert train > 0.95
    assert test < 0.7
    constants = [np.bincount(labels).max() / len(labels) for labels in (y, y_test)]
    skill = [(s - c) / (1 - c) for s, c in zip((train, test), constants, strict=True)]
    check = report["overfitting"]
    assert check.value == pytest.approx(1 - skill[1] / skill[0])
    assert report.verdict == check.verdict == "bad"
    assert f"{train:.4g} on X and {test:.4g} on X_test" in check.finding
    assert f"early_stopping=True, raise alpha (now {model.alpha_})" in check.remedy
    assert "not measured" not in str(report)
    # The remedy, followed.
    held = fitted(
        EqPropClassifier((50,), learning_rate_init=0.02, alpha=10.0, random_state=0), X, y
    )
    better = health_report(held, X, y, X_test=X_test, y_test=y_test)["overfitting"]
    assert better.value < check.value


def test_a_fit_that_holds_on_other_rows(flowers):
    model, X, y = flowers
    fitted(model, X[::2], y[::2])
    report = health_report(model, X[::2], y[::2], X_test=X[1::2], y_test=y[1::2])
    assert report["overfitting"].verdict == "good"
    assert abs(report["overfitting"].value) < 0.15


def test_without_other_rows_it_says_so(memorised):
    model, X, y, X_test, y_test = memorised
    report = health_report(model, X, y)
    assert str(report).endswith("pass held-out rows as X_test and y_test.")
    with pytest.raises(KeyError, match="Overfitting was not measured: pass"):
        report["overfitting"]
    with pytest.raises(ValueError, match="health_report needs y"):
        health_report(model, X, y, X_test=X_test)
    with pytest.raises(ValueError, match=r"In the held-out rows .*features"):
        health_report(model, X, y, X_test=X_test[:, 1:], y_test=y_test)


def test_what_does_not_fit_cannot_overfit(memorised):
    _, X, y, X_test, y_test = memorised
    model = EqPropClassifier((5,), max_iter=1, learning_rate_init=1e-9, random_state=1)
    fitted(model, X, y)
    model.coefs_[-1][:], model.intercepts_[-1][:] = 0, [0, 1]  # a constant
    check = health_report(model, X, y, X_test=X_test, y_test=y_test)["overfitting"]
    assert (check.verdict, check.remedy) == ("watch", "See the check 'fit' first.")
    assert np.isnan(check.value)


def test_rows_of_one_class_cannot_tell(flowers):
    model, X, y = flowers
    check = health_report(fitted(model, X, y), X[:50], y[:50])["fit"]
    assert check.verdict == "watch"
    assert "All targets are equal" in check.finding


@pytest.mark.parametrize("loss", ["squared_error", "log_loss", "multilabel_log_loss"])
def test_every_kind_of_target_is_compared_with_a_constant(loss):
    net, X, Y = problem("tanh", loss, tied=True)
    model, y = twin(net, loss, X, Y)
    check = health_report(model, X, y)["fit"]
    assert np.isfinite(check.value)
    constant = {"squared_error": 0.0, "log_loss": np.bincount(Y.argmax(axis=1)).max() / len(Y)}
    constant["multilabel_log_loss"] = np.maximum(Y.mean(axis=0), 1 - Y.mean(axis=0)).mean()
    assert f", and {constant[loss]:.4g} for a constant prediction. The loss" in check.finding


def test_the_picture_says_what_was_not_looked_at(memorised):
    pytest.importorskip("matplotlib").use("agg")
    import matplotlib.pyplot as plt

    model, X, y, X_test, y_test = memorised
    drawn = HealthReportDisplay.from_estimator(model, X, y)
    assert "pass held-out rows" in drawn.ax_.get_xlabel()
    drawn = HealthReportDisplay.from_estimator(model, X, y, X_test=X_test, y_test=y_test)
    assert drawn.ax_.get_xlabel() == ""
    assert "overfitting" in [text.get_text() for text in drawn.ax_.texts]
    plt.close("all")


ROUGH = {"max_relax_iter": 1, "max_nudge_iter": 1, "relax_tol": 1e-6}
FAINT = {"feedback_scale": 1e-8, "dtype": "float32", "relax_tol": 1e-4}


@pytest.mark.parametrize(
    ("name", "trouble", "remedy", "followed"),
    [
        ("settling", ROUGH, "Raise max_relax_iter", {"max_relax_iter": 200, "max_nudge_iter": 200}),
        ("feedback gain", FAINT, "Raise feedback_scale", {"feedback_scale": 0.3}),
        ("nudge signal", FAINT, "aise feedback_scale", {"feedback_scale": 0.3}),
        (
            "loop gain",
            {"loop_gain": 0.98, "feedback_scale": 5.0, "activation": "identity"},
            "Lower loop_gain (now 0.98)",
            {"loop_gain": 0.2},
        ),
        (
            "loop gain",
            {"loop_gain": None, "feedback_scale": 1.5, "activation": "tanh"},
            "Set loop_gain",
            {"loop_gain": 0.2},
        ),
        (
            "saturation",
            {"activation": "tanh", "learning_rate_init": 1.0, "alpha": 1e-4},
            "Lower learning_rate_init",
            {"learning_rate_init": 0.01},
        ),
        (
            "saturation",
            {"activation": "tanh", "learning_rate_init": 1.0, "alpha": 1e-4},
            "use activation='relu'",
            {"activation": "relu"},
        ),
        (
            "dead units",
            {"learning_rate_init": 3.0},
            "Lower learning_rate_init",
            {"learning_rate_init": 0.01},
        ),
        (
            "alignment",
            {"feedback_init": "independent", "feedback_learning": "local", "max_iter": 2},
            "feedback_init='transpose' with feedback_learning='kolen_pollack'",
            {"feedback_init": "transpose", "feedback_learning": "kolen_pollack"},
        ),
    ],
    ids=str,
)
def test_every_remedy_works_and_is_not_in_force(flowers, name, trouble, remedy, followed):
    _, X, y = flowers
    settings = {"max_iter": 20, "random_state": 0} | trouble
    model = fitted(EqPropClassifier((8, 8), **settings), X, y)
    report = health_report(model, X, y)
    before = report[name]
    assert before.verdict != "good"
    assert remedy in before.remedy
    for check in report.checks:
        assert_nothing_in_force(check.remedy, model)
        assert "StandardScaler" not in check.remedy
    after = health_report(fitted(EqPropClassifier((8, 8), **settings | followed), X, y), X, y)[name]
    verdicts = ["good", "watch", "bad"]
    assert verdicts.index(after.verdict) < verdicts.index(before.verdict)
