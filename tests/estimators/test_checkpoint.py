"""`checkpoint`: a fit that was interrupted ends, to the last bit, as one that never was."""

import os
import pickle
import signal
import subprocess
import sys
import textwrap

import numpy as np
import pytest
from numpy.testing import assert_array_equal, assert_equal
from sklearn.base import clone

from sklearn_eqprop import Conv2D, EqPropClassifier, EqPropRegressor
from sklearn_eqprop._training.trainer import Trainer
from sklearn_eqprop.exceptions import DivergenceError, EqPropWarning

pytestmark = [
    pytest.mark.filterwarnings("ignore:Training reached max_iter"),
    pytest.mark.filterwarnings("ignore:Training did not learn"),
]

KINDS = pytest.mark.parametrize("estimator", [EqPropClassifier, EqPropRegressor])
# Seven updates per epoch: phases are measured once in five updates, also across two epochs.
SETTINGS = {"hidden_layer_sizes": (8, 6), "max_iter": 6, "batch_size": 13, "random_state": 0}
SETTINGS |= {"alpha": 1e-3}


def draws(rows, rng):
    return rows + 0.2 * rng.standard_normal(rows.shape)


class Quartic:
    """A steep loss, which is measured when it is first used."""

    def value(self, output, target):
        return ((output - target) ** 4).sum(axis=1)

    def derivative(self, output, target):
        return 4 * (output - target) ** 3


WAYS = {
    "default": {},
    "cosine": {"learning_rate": "cosine", "augment": draws},
    "adaptive": {"learning_rate": "adaptive", "n_iter_no_change": 1, "tol": 0.5, "max_iter": 9},
    "early stopping": {"early_stopping": True, "n_iter_no_change": None, "average_weights": True},
    "patience": {"early_stopping": True, "n_iter_no_change": 2, "tol": 0.5},
    "best weights": {"restore_best_weights": True, "learning_rate_init": 0.3, "augment": draws},
    "averages": {"average_weights": True, "feedback": "tied", "optimizer": "sgd"},
    "random sign": {"nudging": "random_sign", "loop_gain": None},
    "homeostasis": {"feedback_learning": "homeostasis", "activation": "tanh"},
    "complex": {"nudging": 4, "activation": "tanh"},
    "images": {"hidden_layer_sizes": (Conv2D(3, 2, padding="same", pool=2), 5)},
    "graph": {"connections": [(0, 1), (1, 2), (2, 3), (3, 2), (2, 1), (0, 3), (1, 1)]},
    "trial": {"alpha": "auto", "max_iter": 12},
    "own loss": {"loss": Quartic()},
    "float32": {"dtype": "float32", "momentum": 0.5, "optimizer": "sgd"},
}
WAYS["images"] |= {"input_shape": (3, 2), "average_weights": True}


class StopError(Exception):
    """Stands for whatever may end a fit."""


def stop_in(monkeypatch, nth, error=StopError):
    """Raise an error in the nth update of fits that take at most that many."""
    train_on, n_calls = Trainer.train_on, []

    def counted(self, *given):
        n_calls.append(1)
        if len(n_calls) == nth:
            raise error("stop")
        return train_on(self, *given)

    monkeypatch.setattr(Trainer, "train_on", counted)
    return n_calls


def assert_same(one, other):
    """All that a fit leaves is equal, except the parameter `checkpoint`."""
    contents = []
    for model in (one, other):
        kept = vars(model) | {"checkpoint": None, "_checked_parameters": None}
        kept["_training_state"] = model._training_state.__getstate__()
        contents.append(kept)
    assert_equal(*contents)


@KINDS
@pytest.mark.parametrize("way", list(WAYS))
def test_continues_to_the_last_bit(binary, estimator, way, monkeypatch, tmp_path):
    X, y = binary
    X = X if way == "images" else X * [1e4, 1e-4, 1, 1, 1, 1]  # inputs are rescaled inside
    settings = SETTINGS | WAYS[way]
    whole = estimator(**settings).fit(X, y)
    path = tmp_path / "run.ckpt"
    model = estimator(checkpoint=path, **settings)
    with monkeypatch.context() as patched:
        counted = stop_in(patched, None)
        clone(model).set_params(checkpoint=None).fit(X, y)
        n_updates = 6 if settings.get("early_stopping") else 7
        # In the last epoch but one, after the trial; in the last.
        stops = (len(counted) - n_updates - 2, n_updates + 3)
    n_found = 0
    for nth in stops:
        with monkeypatch.context() as patched:
            counted = stop_in(patched, nth)
            try:
                model.fit(X, y)
            except StopError:
                n_found += path.exists()
                assert not hasattr(model, "coefs_")
    assert n_found == 2
    counted = stop_in(monkeypatch, None)
    model.fit(X, y)
    assert len(counted) == n_updates  # no trial, and no whole epoch again
    assert_same(model, whole)
    assert list(tmp_path.iterdir()) == []


@KINDS
def test_second_fit_of_a_warm_start_continues(binary, estimator, monkeypatch, tmp_path):
    X, y = binary
    settings = SETTINGS | {"warm_start": True, "augment": draws, "average_weights": True}
    whole = estimator(**settings).fit(X, y).fit(X, y)
    model = estimator(checkpoint=str(tmp_path / "run"), **settings).fit(X, y)
    assert list(tmp_path.iterdir()) == []
    before = pickle.dumps(model)
    with monkeypatch.context() as patched:
        stop_in(patched, 16)
        with pytest.raises(StopError):
            model.fit(X, y)
    assert_same(pickle.loads(before).fit(X, y), whole)


def test_random_states_without_a_seed(binary, monkeypatch, tmp_path):
    X, y = binary
    settings = SETTINGS | {"early_stopping": True, "checkpoint": tmp_path / "run"}
    with monkeypatch.context() as patched:
        stop_in(patched, 16)
        with pytest.raises(StopError):
            EqPropClassifier(**settings | {"random_state": None}).fit(X, y)
    model = EqPropClassifier(**settings | {"random_state": None}).fit(X, y)
    assert len(model.loss_curve_) == model.n_iter_ == 6
    # A generator of the user moves as far as without an interruption.
    generators = [np.random.RandomState(5) for _ in range(2)]
    whole = EqPropClassifier(**SETTINGS | {"random_state": generators[0]}).fit(X, y)
    settings = SETTINGS | {"checkpoint": tmp_path / "run", "random_state": generators[1]}
    with monkeypatch.context() as patched:
        stop_in(patched, 16)
        with pytest.raises(StopError):
            EqPropClassifier(**settings).fit(X, y)
    model = EqPropClassifier(**settings).fit(X, y)
    assert_array_equal(model.coefs_[0], whole.coefs_[0])
    assert_array_equal(*(rng.get_state()[1] for rng in generators))


SCRIPT = """
import os, signal, sys
import numpy as np
from sklearn_eqprop import EqPropClassifier

class Deadly:
    "Ends the process in some call, without warning."
    def __init__(self, nth):
        self.nth, self.n_calls = nth, 0
    def __repr__(self):
        return "Deadly"
    def __call__(self, rows, rng):
        self.n_calls += 1
        if self.n_calls == self.nth:
            os.kill(os.getpid(), signal.SIGKILL)
        return rows + 0.2 * rng.standard_normal(rows.shape)

folder, nth = sys.argv[1], int(sys.argv[2])
data = np.load(folder + "/data.npz")
model = EqPropClassifier(
    (8, 6), max_iter=12, batch_size=16, random_state=0, augment=Deadly(nth),
    learning_rate="cosine", early_stopping=True, checkpoint=folder + "/run.ckpt",
)
model.fit(data["X"], data["y"])
np.savez(folder + "/end.npz", *model.coefs_, *model.feedback_coefs_, *model.intercepts_)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="needs SIGKILL")
def test_killed_process(binary, tmp_path):
    X, y = binary
    np.savez(tmp_path / "data.npz", X=X, y=y)
    script = tmp_path / "script.py"
    script.write_text(textwrap.dedent(SCRIPT))

    def end_of(nth):
        command = [sys.executable, "-W", "ignore", str(script), str(tmp_path), str(nth)]
        code = subprocess.run(command, check=False, env=os.environ).returncode
        if code:
            return code
        with np.load(tmp_path / "end.npz") as arrays:
            return [arrays[name] for name in arrays.files]

    whole = end_of(-1)
    # The trials of alpha take 72 updates, the fit 60. Trials are not repeated after the first kill.
    assert end_of(110) == -signal.SIGKILL
    assert (tmp_path / "run.ckpt").exists()
    assert end_of(7) == -signal.SIGKILL
    for one, other in zip(end_of(-1), whole, strict=True):
        assert_array_equal(one, other)
    assert not (tmp_path / "run.ckpt").exists()


def test_ctrl_c_leaves_the_file_and_a_model(binary, monkeypatch, tmp_path):
    X, y = binary
    path = tmp_path / "run"
    whole = EqPropClassifier(**SETTINGS).fit(X, y)
    with monkeypatch.context() as patched:
        stop_in(patched, 16, KeyboardInterrupt)
        with pytest.warns(EqPropWarning, match="interrupted by user"):
            model = EqPropClassifier(checkpoint=path, **SETTINGS).fit(X, y)
    assert path.exists()
    assert len(model.loss_curve_) == 2
    assert_array_equal(model.fit(X, y).coefs_[0], whole.coefs_[0])
    assert not path.exists()


def test_divergence_leaves_the_file(binary, monkeypatch, tmp_path):
    path = tmp_path / "run"
    stop_in(monkeypatch, 16, DivergenceError)
    with pytest.raises(DivergenceError, match="epoch 3"):
        EqPropClassifier(checkpoint=path, **SETTINGS).fit(*binary)
    assert path.exists()


@pytest.fixture
def stopped(binary, monkeypatch, tmp_path):
    """A fit that was stopped in its third epoch."""
    model = EqPropClassifier(checkpoint=tmp_path / "run", **SETTINGS)
    with monkeypatch.context() as patched:
        stop_in(patched, 16)
        with pytest.raises(StopError):
            model.fit(*binary)
    return model


@pytest.mark.parametrize(
    ("changed", "parts"),
    [
        ({"max_iter": 7}, ["max_iter is 7 now, and was 6"]),
        ({"augment": draws}, ["augment is <function draws> now, and was None"]),
        (
            {"random_state": 1, "alpha": "auto"},
            ["random_state is 1 now, and was 0", "alpha is 'auto' now, and was 0.001"],
        ),
        ({"dtype": "float32"}, ["dtype is 'float32' now", "the type of the weights"]),
        ({"hidden_layer_sizes": (8,)}, ["hidden_layer_sizes is (8,) now, and was (8, 6)"]),
    ],
)
def test_other_parameters_are_refused(binary, stopped, changed, parts):
    before = stopped.checkpoint.read_bytes()
    with pytest.raises(ValueError, match=r"checkpoint='.*run' belongs to another fit") as error:
        clone(stopped).set_params(**changed).fit(*binary)
    for part in [*parts, "delete the file", "same parameters"]:
        assert part in str(error.value)
    for name in ("batch_size", "relaxation"):
        assert name not in str(error.value)
    assert stopped.checkpoint.read_bytes() == before
    stopped.set_params(verbose=True, transform_layers=1).fit(*binary)


def test_other_rows_are_refused(binary, stopped):
    X, y = binary
    changed = X.copy()
    changed[5, 3] += 1e-12
    order = np.arange(80)[::-1]
    rows = "the rows, their targets, weights or order"
    for data, weight, part in [
        ((changed, y), None, rows),
        ((X[order], y[order]), None, rows),
        ((X, 1 - y), None, rows),
        ((X, y), np.linspace(1, 2, 80), rows),
        ((X[:70], y[:70]), None, "X.shape is (70, 6) now, and was (80, 6)"),
    ]:
        with pytest.raises(ValueError, match=r"belongs to another fit") as error:
            clone(stopped).fit(*data, sample_weight=weight)
        assert part in str(error.value)
    with pytest.raises(ValueError, match="the kind of estimator"):
        EqPropRegressor(checkpoint=stopped.checkpoint, **SETTINGS).fit(X, y)


def test_other_validation_rows_are_refused(binary, monkeypatch, tmp_path):
    X, y = binary
    model = EqPropClassifier(checkpoint=tmp_path / "run", early_stopping=True, **SETTINGS)
    given = {"X_val": X[60:], "y_val": y[60:]}
    whole = clone(model).set_params(checkpoint=None).fit(X[:60], y[:60], **given)
    with monkeypatch.context() as patched:
        stop_in(patched, 11)
        with pytest.raises(StopError):
            model.fit(X[:60], y[:60], **given)
    with pytest.raises(ValueError, match="the validation set"):
        model.fit(X[:60], y[:60], X_val=X[50:], y_val=y[50:])
    assert_same(model.fit(X[:60], y[:60], **given), whole)


def test_files_that_are_no_checkpoints(binary, tmp_path):
    X, y = binary
    path = tmp_path / "other"
    for text in (b"", b"hello", pickle.dumps([1, 2]), pickle.dumps({"facts": 1})):
        path.write_bytes(text)
        with pytest.raises(ValueError, match=r"other' is not a checkpoint.*Delete it"):
            EqPropClassifier(checkpoint=path, **SETTINGS).fit(X, y)
        assert path.read_bytes() == text
    with pytest.raises(ValueError, match=r"no folder .*missing"):
        EqPropClassifier(checkpoint=tmp_path / "missing" / "run", **SETTINGS).fit(X, y)
    with pytest.raises(ValueError, match=r"is not a checkpoint"):
        EqPropClassifier(checkpoint=tmp_path, **SETTINGS).fit(X, y)
    with pytest.raises(ValueError, match="'checkpoint' parameter"):
        EqPropClassifier(checkpoint=3, **SETTINGS).fit(X, y)


def test_a_full_disk_does_not_end_the_fit(binary, monkeypatch, tmp_path):
    def full(descriptor):
        raise OSError("No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.warns(EqPropWarning, match=r"run' could not be written: No space.*continues"):
        model = EqPropClassifier(checkpoint=tmp_path / "run", **SETTINGS).fit(*binary)
    assert_array_equal(model.coefs_[0], EqPropClassifier(**SETTINGS).fit(*binary).coefs_[0])


def test_partial_fit_writes_no_file(binary, tmp_path):
    X, y = binary
    EqPropClassifier(checkpoint=tmp_path / "run", **SETTINGS).partial_fit(X, y, [0, 1])
    assert list(tmp_path.iterdir()) == []


def test_verbose_tells_where_it_continues(binary, stopped, capsys):
    stopped.set_params(verbose=True).fit(*binary)
    lines = capsys.readouterr().out.splitlines()
    assert "continuing after epoch 2" in lines[0]
    assert [line.split()[1] for line in lines[1:5]] == ["3", "4", "5", "6"]
    assert all("left" in line for line in lines[1:5])
