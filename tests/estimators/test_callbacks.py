"""scikit-learn's callbacks hear about every epoch, also of a fit inside a search."""

import io

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_array_equal
from sklearn.base import clone
from sklearn.metrics import accuracy_score, r2_score
from sklearn.model_selection import GridSearchCV

from sklearn_eqprop import EqPropClassifier, EqPropRegressor
from sklearn_eqprop._sklearn_compat import HAS_CALLBACKS

pytestmark = pytest.mark.filterwarnings("ignore:Training reached max_iter")
KINDS = pytest.mark.parametrize("estimator", [EqPropClassifier, EqPropRegressor])
SETTINGS = {"hidden_layer_sizes": (6,), "max_iter": 5, "batch_size": 16, "random_state": 0}
NEEDS_CALLBACKS = pytest.mark.skipif(not HAS_CALLBACKS, reason="scikit-learn before 1.9")


class Listener:
    """A callback that writes down what it hears, and may stop or fail."""

    def __init__(self, stop_after=None, fail_after=None):
        self.heard = []
        self.stop_after = stop_after
        self.fail_after = fail_after

    def setup(self, estimator, context):
        self.heard.append("setup")

    def teardown(self, estimator, context):
        self.heard.append("teardown")

    def on_fit_task_begin(self, estimator, context):
        self.heard.append(("begin", context.task_name))

    def on_fit_task_end(self, estimator, context, *, X, y, fitted_estimator):
        self.heard.append(("end", context.task_name))
        self.last = fitted_estimator
        self.score = fitted_estimator.score(X, y)
        n_epochs = self.heard.count(("end", "epoch"))
        if n_epochs == self.fail_after:
            msg = "the callback is out of order"
            raise RuntimeError(msg)
        return n_epochs == self.stop_after


@NEEDS_CALLBACKS
@KINDS
def test_every_epoch_is_told(binary, estimator):
    X, y = binary
    listener = Listener()
    model = estimator(**SETTINGS).set_callbacks(listener).fit(X, y)
    epoch = [("begin", "epoch"), ("end", "epoch")]
    assert listener.heard == ["setup", ("begin", "fit"), *epoch * 5, ("end", "fit"), "teardown"]
    assert listener.score == model.score(X, y)
    plain = estimator(**SETTINGS).fit(X, y)
    assert_array_equal(plain.coefs_[0], model.coefs_[0])
    assert not [name for name in vars(model) if "callback" in name and name != "_skl_callbacks"]


@NEEDS_CALLBACKS
@KINDS
@pytest.mark.parametrize("size", [1.0, 1e6])  # the larger is scaled inside
def test_fitted_estimator_is_what_stopping_there_would_give(binary, estimator, size):
    X, y = binary[0] * size, binary[1]
    listener = Listener(stop_after=3)
    model = estimator(**SETTINGS).set_callbacks(listener).fit(X, y)
    assert model.n_iter_ == 3
    shorter = estimator(**SETTINGS | {"max_iter": 3}).fit(X, y)
    for fitted in (model, listener.last):
        assert_array_equal(fitted.coefs_[0], shorter.coefs_[0])
        assert_array_equal(fitted.predict(X), shorter.predict(X))


@NEEDS_CALLBACKS
@KINDS
def test_a_callback_that_fails_leaves_the_estimator_as_it_was(binary, estimator):
    X, y = binary
    model = estimator(**SETTINGS).fit(X, y)
    before = model.predict(X)
    listener = Listener(fail_after=2)
    model.set_callbacks(listener)
    with pytest.raises(RuntimeError, match="out of order"):
        model.fit(X, y + 0)
    assert listener.heard[-1] == "teardown"
    assert_array_equal(model.predict(X), before)
    assert not hasattr(model, "_callback_fit_ctx")


@NEEDS_CALLBACKS
@KINDS
def test_scoring_monitor(binary, estimator):
    from sklearn.callback import ScoringMonitor

    X, y = binary
    table = pd.DataFrame(X, columns=[f"column {i}" for i in range(X.shape[1])])
    name, score = ("accuracy", accuracy_score)
    if estimator is EqPropRegressor:
        name, score = ("r2", r2_score)
    monitor = ScoringMonitor(scoring=name)
    model = estimator(**SETTINGS).set_callbacks(monitor).fit(table, y)
    of_epochs = [row for row in monitor.get_logs().data if row["task_name"] == "epoch"]
    assert [row["task_id"] for row in of_epochs] == [0, 1, 2, 3, 4]
    assert of_epochs[-1][name] == pytest.approx(score(y, model.predict(table)), rel=1e-12)
    first = estimator(**SETTINGS | {"max_iter": 1}).fit(table, y)
    assert of_epochs[0][name] == pytest.approx(score(y, first.predict(table)), rel=1e-12)


@NEEDS_CALLBACKS
@KINDS
@pytest.mark.parametrize("n_jobs", [1, 2])
def test_scoring_monitor_inside_a_search(binary, estimator, n_jobs):
    from sklearn.callback import ScoringMonitor

    X, y = binary
    monitor = ScoringMonitor(scoring="r2" if estimator is EqPropRegressor else "accuracy")
    model = estimator(**SETTINGS | {"max_iter": 2}).set_callbacks(monitor)
    search = GridSearchCV(model, {"beta": [0.2, 0.5]}, cv=2, refit=False, n_jobs=n_jobs)
    search.fit(X, y)
    epochs = [
        row
        for log in monitor.get_logs(select="all")
        for row in log.data
        if row["task_name"] == "epoch"
    ]
    assert len(epochs) == 2 * 2 * 2


@NEEDS_CALLBACKS
@KINDS
def test_progress_bar(binary, estimator, monkeypatch):
    pytest.importorskip("rich")
    from rich.progress import Progress
    from sklearn.callback import ProgressBar

    shown = io.StringIO()
    original = Progress.__init__

    def to_a_string(self, *columns, **options):
        from rich.console import Console

        original(self, *columns, console=Console(file=shown, width=120), **options)

    monkeypatch.setattr(Progress, "__init__", to_a_string)
    X, y = binary
    estimator(**SETTINGS).set_callbacks(ProgressBar()).fit(X, y)
    assert f"{estimator.__name__} - fit" in shown.getvalue()
    assert "100%" in shown.getvalue()
    shown.truncate(0)
    search = GridSearchCV(estimator(**SETTINGS), {"beta": [0.2, 0.5]}, cv=2)
    search.set_callbacks(ProgressBar()).fit(X, y)
    assert f"{estimator.__name__} - fit" in shown.getvalue()
    assert "GridSearchCV" in shown.getvalue()


@NEEDS_CALLBACKS
def test_clones_keep_their_callbacks(binary):
    listener = Listener()
    model = clone(EqPropClassifier(**SETTINGS).set_callbacks(listener)).fit(*binary)
    assert listener.heard[-1] == "teardown"
    assert np.isfinite(model.predict_proba(binary[0])).all()


@KINDS
def test_verbose_does_without_callbacks(binary, estimator, capsys):
    estimator(**SETTINGS, verbose=True).fit(*binary)
    assert capsys.readouterr().out.count("Epoch") == 5


@pytest.mark.skipif(HAS_CALLBACKS, reason="scikit-learn 1.9 has callbacks")
def test_older_versions_do_not_pretend():
    assert not hasattr(EqPropClassifier(), "set_callbacks")
