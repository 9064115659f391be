"""Whole fits on the pretended device: they agree with NumPy's, and rarely make the host wait."""

import math
import pickle
import subprocess
import sys
import tracemalloc
import warnings
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.datasets import load_digits
from sklearn.exceptions import ConvergenceWarning

from sklearn_eqprop import Conv2D, EqPropClassifier, EqPropRegressor
from sklearn_eqprop._backend import get_backend
from sklearn_eqprop._relaxation.anderson import PLAIN_STEPS
from sklearn_eqprop._relaxation.device_samples import CHECK_EVERY
from sklearn_eqprop._training.trainer import Trainer
from sklearn_eqprop.augmentation import RandomCrop

N_SAMPLES, BATCH_SIZE, N_BATCHES = 120, 40, 3
MAPS = (Conv2D(3, 3, padding="same", pool=2), Conv2D(4, 2, pool=2), 9)
AVERAGES = (Conv2D(3, 3, pool=2, pooling="average"), 9)
EULER = {"relaxation": "euler", "step_size": 0.5}
BOUNDED = {"output_activation": "hard_sigmoid", "loss": "squared_error"}
CROP = RandomCrop(1, input_shape=(8, 8))
SHORT = {"max_relax_iter": 20, "max_nudge_iter": 10}
ROW = [(0, 1), (1, 2), (2, 3), (3, 4), (4, 3), (3, 2), (2, 1)]
RESIDUAL = {
    "hidden_layer_sizes": (12, 12, 12),
    "connections": [*ROW, (1, 3, "identity"), (3, 1, "identity")],
}
WAYS = [
    {},
    {"hidden_layer_sizes": (15,), "dtype": "float32"},
    {"hidden_layer_sizes": (15, 12, 10), "nudging": "centered"},
    EULER,
    {**EULER, "relax_tol": 1e-4, "activation": "hard_sigmoid"},
    {"relaxation": "anderson", "nudging": "random_sign"},
    {"relaxation": "anderson", "relax_tol": 1e-6, "activation": "tanh"},
    {"relax_tol": 1e-6},
    {"step_size": 0.8, "activation": "logistic"},
    {"gradient": "asymmetric", "activation": "tanh"},
    {"gradient": "recurrent_backprop"},
    {"gradient": "continual", "optimizer": "sgd", "learning_rate_init": 0.01},
    {"feedback": "tied", "activation": "hard_sigmoid", "loss": "squared_error"},
    {"feedback_learning": "local", "optimizer": "sgd", "learning_rate": "adaptive"},
    {"feedback_learning": "homeostasis"},
    {"feedback_init": "independent", "loop_gain": None},
    {"beta": math.inf, "loss": "squared_error"},
    {"early_stopping": True},
    {"connections": [(0, 1), (1, 2), (2, 3), (0, 3), (3, 2), (2, 1), (1, 1)]},
    {"hidden_layer_sizes": MAPS, "input_shape": (8, 8)},
    {"hidden_layer_sizes": MAPS, "input_shape": (8, 8), "relax_tol": 1e-6},
    {"hidden_layer_sizes": MAPS, "input_shape": (8, 8), **EULER},
    {"hidden_layer_sizes": MAPS, "input_shape": (8, 8), "gradient": "asymmetric"},
    {"hidden_layer_sizes": AVERAGES, "input_shape": (8, 8), "nudging": "centered"},
    {"objective": "trajectory", **EULER, **SHORT},
    {"augment": CROP, "dtype": "float32", "early_stopping": True},
    {"average_weights": True, "early_stopping": True},
    {"average_weights": True, "feedback": "tied"},
    *[BOUNDED | more for more in ({}, EULER, {"gradient": "asymmetric", "nudging": "centered"})],
    BOUNDED | {"gradient": "recurrent_backprop", "output_activation": "relu"},
    BOUNDED | {"relaxation": "anderson", "beta": math.inf},
    RESIDUAL,
    RESIDUAL | {"feedback": "tied", "gradient": "asymmetric"},
    RESIDUAL | {"feedback_learning": "homeostasis", "relaxation": "euler", "step_size": 0.5},
]


@pytest.fixture(scope="module")
def digits():
    X, y = load_digits(return_X_y=True)
    return X[:N_SAMPLES] / 16, y[:N_SAMPLES]


def _model(**settings):
    defaults = {"hidden_layer_sizes": (15, 12), "batch_size": BATCH_SIZE, "max_iter": 2}
    return EqPropClassifier(**{**defaults, "random_state": 0, **settings})


def _fitted(model, X, y, **options):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        return model.fit(X, y, **options)


def _assert_alike(one, other, tolerance):
    for name in ("coefs_", "feedback_coefs_", "intercepts_"):
        for block, its_twin in zip(getattr(one, name), getattr(other, name), strict=True):
            assert type(block) is type(its_twin) is np.ndarray
            np.testing.assert_allclose(block, its_twin, rtol=0, atol=tolerance)
    np.testing.assert_allclose(one.loss_curve_, other.loss_curve_, rtol=10 * tolerance)
    for name, values in one.relaxation_.items():
        np.testing.assert_allclose(values, other.relaxation_[name], rtol=1e-3, atol=tolerance)


@pytest.mark.parametrize("settings", WAYS, ids=str)
def test_fits_agree_with_numpy(installed, digits, settings):
    ours = _fitted(_model(backend="cupy", **settings), *digits)
    theirs = _fitted(_model(backend="numpy", **settings), *digits)
    assert (ours.backend_, theirs.backend_) == ("cupy", "numpy")
    _assert_alike(ours, theirs, 1e-4 if settings.get("dtype") == "float32" else 1e-10)
    X = digits[0]
    np.testing.assert_allclose(ours.predict_proba(X), theirs.predict_proba(X), atol=1e-4)
    np.testing.assert_allclose(ours.transform(X), theirs.transform(X), atol=1e-4)
    assert type(ours.predict_proba(X)) is np.ndarray


@pytest.mark.parametrize("loss", ["squared_error", "absolute_error", "huber", "poisson"])
def test_regressors_agree_with_numpy(installed, digits, loss):
    X, y = digits
    model = EqPropRegressor((15, 12), loss=loss, max_iter=2, random_state=0, batch_size=40)
    weight = np.random.RandomState(0).uniform(0.5, 2, N_SAMPLES)
    ours = _fitted(clone(model).set_params(backend="cupy"), X, y, sample_weight=weight)
    theirs = _fitted(clone(model).set_params(backend="numpy"), X, y, sample_weight=weight)
    _assert_alike(ours, theirs, 1e-10)
    nudged = [m.relax(X, y, beta=0.1) for m in (ours, theirs)]
    for one, other in zip(nudged[0].states, nudged[1].states, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-8)
    np.testing.assert_array_equal(nudged[0].n_steps, nudged[1].n_steps)
    np.testing.assert_array_equal(nudged[0].converged, nudged[1].converged)


STARTS = [
    _model(),
    _model(hidden_layer_sizes=(100, 100), dtype="float32"),
    _model(feedback="tied"),
    _model(connections=[(0, 1), (1, 2), (2, 3), (3, 2), (2, 1), (3, 1), (1, 1)]),
    _model(hidden_layer_sizes=MAPS, input_shape=(8, 8)),
    EqPropRegressor((9, 8), random_state=3, batch_size=40),
]


@pytest.mark.parametrize("model", STARTS, ids=str)
def test_start_and_order_are_the_same_to_the_last_bit(installed, digits, model, monkeypatch):
    """With the safeguard at work, which shrinks the feedback that networks start from."""
    starts, orders = [], []

    def noting_order(original):
        def feed(backend, inputs, target, dtype, factors=None):
            rows = original(backend, inputs, target, dtype, factors)

            def minibatches(order, batch_size, following=rows.minibatches):
                orders.append(order.copy())
                return following(order, batch_size)

            rows.minibatches = minibatches
            return rows

        return feed

    def noting_start(trainer, *arguments, original=Trainer.train_on):
        network = trainer.network
        blocks = [network.backend.to_host(p.array).copy() for p in network.parameters()]
        starts[-1] = starts[-1] or blocks
        return original(trainer, *arguments)

    monkeypatch.setattr(Trainer, "train_on", noting_start)
    for backend in ("numpy", "cupy"):
        kind = type(get_backend(backend))
        monkeypatch.setattr(kind, "feed", noting_order(kind.feed))
        starts.append([])
        _fitted(clone(model).set_params(backend=backend, max_iter=2), *digits)
    for block, its_twin in zip(*starts, strict=True):
        np.testing.assert_array_equal(block, its_twin)
    assert len(orders) == 4
    np.testing.assert_array_equal(orders[:2], orders[2:])
    assert (orders[0] != orders[1]).any()


class Loss(NamedTuple):
    """What three epochs of three minibatches loss, as observed.

    Where a phase is over when the last one like it was, that is 4 reads and 2 looks a minibatch and
    3 reads an epoch: 63 waits.
    """

    settings: dict
    waits: int
    uploads: int
    launches: int  # a minibatch
    weights: str = ""


#: Uploads: the order of the rows, once an epoch; a small array a minibatch with sample weights;
#: probes of homeostasis. Deep networks read the strength of feedback once more per minibatch.
LOSSES = [
    Loss({}, waits=63, uploads=3, launches=361),
    Loss({}, waits=63, uploads=12, launches=364, weights="sample_weight"),
    Loss({"class_weight": "balanced"}, waits=63, uploads=12, launches=364),
    Loss({"hidden_layer_sizes": (15, 12, 10), "nudging": "centered"}, 63, 3, 516),
    Loss({"hidden_layer_sizes": (12,) * 5}, waits=72, uploads=3, launches=662),
    Loss({"relax_tol": 1e-6}, waits=66, uploads=3, launches=990),
    Loss({"relaxation": "euler", "step_size": 0.5}, waits=68, uploads=3, launches=1658),
    Loss({"relaxation": "anderson"}, waits=66, uploads=3, launches=1992),
    Loss({"relaxation": "anderson", "relax_tol": 1e-6}, waits=64, uploads=3, launches=3499),
    Loss({"relaxation": "anderson", "hidden_layer_sizes": (9,) * 9}, 72, 3, 7150),
    Loss({"gradient": "asymmetric"}, waits=57, uploads=3, launches=678),
    Loss({"gradient": "recurrent_backprop"}, waits=55, uploads=3, launches=587),
    Loss({"gradient": "continual", "optimizer": "sgd"}, waits=90, uploads=3, launches=786),
    Loss({"feedback_learning": "homeostasis"}, waits=72, uploads=30, launches=416),
    Loss({"hidden_layer_sizes": MAPS, "input_shape": (8, 8)}, 63, 3, 768),
    Loss({"objective": "trajectory", **EULER, **SHORT}, waits=36, uploads=3, launches=1266),
]


def _used(installed, settings, digits, **options):
    """What three more epochs loss than one.

    Waits for a number, reads, uploads, launches; waits for an event, waits for a stream.
    """
    used = []
    for epochs in (1, 4):
        model = _model(backend="cupy", n_iter_no_change=None, max_iter=epochs, **settings)
        installed.counts.reset()
        installed.cuda.event_waits = installed.cuda.stream_waits = 0
        _fitted(model, *digits, **options)
        counts = installed.counts
        used.append((counts.waits, counts.to_host, counts.to_device, counts.launches))
        used[-1] += (installed.cuda.event_waits, installed.cuda.stream_waits)
    return [late - early for early, late in zip(*used, strict=True)]


@pytest.mark.parametrize("loss", LOSSES, ids=lambda loss: f"{loss.settings}{loss.weights}")
def test_few_waits_and_transfers(installed, digits, loss):
    get_backend("cupy")  # tries it out
    weights = {loss.weights: np.linspace(0.5, 2, N_SAMPLES)} if loss.weights else {}
    waits, reads, uploads, launches, event_waits, stream_waits = _used(
        installed, loss.settings, digits, **weights
    )
    assert waits == reads
    assert waits <= loss.waits + 1
    assert uploads <= loss.uploads
    assert launches <= 1.03 * loss.launches * 3 * N_BATCHES
    assert event_waits == stream_waits == 0


def test_streamed_rows_wait_for_their_buffers_alone(installed, digits):
    get_backend("cupy")
    installed.cuda.free_bytes = 100
    waits, reads, uploads, launches, event_waits, stream_waits = _used(installed, {}, digits)
    n_batches = 3 * N_BATCHES
    assert waits == reads <= LOSSES[0].waits
    assert uploads == 2 * n_batches  # inputs and targets
    assert event_waits == n_batches  # for the copy that was made from the same buffer before
    assert stream_waits == 3  # at the end of each epoch
    assert launches <= 1.03 * LOSSES[0].launches * n_batches


@pytest.mark.parametrize("hidden", [(15, 12), (6,) * 9], ids=str)
@pytest.mark.parametrize(
    ("method", "step_size"), [("gauss_seidel", 1.0), ("euler", 0.2), ("anderson", 0.5)]
)
def test_looks_a_sweep_in_long_phases(installed, digits, method, step_size, hidden):
    """No wait in a phase but one look every few sweeps; nothing is sent to the device."""
    model = _fitted(_model(backend="cupy", hidden_layer_sizes=hidden, max_iter=1), *digits)
    model.set_params(relaxation=method, step_size=step_size, relax_tol=1e-11, max_relax_iter=400)
    installed.counts.reset()
    installed.cuda.stream_waits = 0
    result = model.relax(digits[0])
    n_sweeps = result.n_steps.max()
    assert n_sweeps > 2 * CHECK_EVERY
    n_arrays = 3 + len(result.states)  # brought home at the end
    assert installed.counts.waits - n_arrays == math.ceil(n_sweeps / CHECK_EVERY)
    assert installed.cuda.stream_waits == 0
    assert installed.counts.to_device == _n_blocks(model) + 1


def _n_blocks(model):
    return len(model.coefs_) + len(model.feedback_coefs_) + len(model.intercepts_)


def test_predictions_cross_the_bus_once_each_way(installed, digits):
    model = _fitted(_model(backend="cupy", max_iter=1), *digits)
    installed.counts.reset()
    installed.cuda.stream_waits = 0
    model.predict(digits[0])
    assert installed.cuda.stream_waits == 0
    assert installed.counts.to_device == _n_blocks(model) + 1


def test_eight_threads_predict_the_same(installed, digits):
    X, y = digits
    model = _fitted(_model(backend="cupy"), X, y)

    def answers(_):
        return model.predict(X), model.transform(X), model.relax(X, y, beta=0.1).states[0]

    alone = answers(None)
    with ThreadPoolExecutor(8) as pool:
        for together in pool.map(answers, range(24)):
            for left, right in zip(alone, together, strict=True):
                np.testing.assert_array_equal(left, right)


def test_fitted_attributes_live_on_the_host(installed, digits):
    model = _fitted(_model(backend="cupy", max_iter=2), *digits)
    for value in _leaves(vars(model)):
        assert type(value).__module__ != "tests.backend.fake_cupy"
    model.partial_fit(*digits)  # goes on from what lives on the host
    twin = _fitted(_model(backend="numpy", max_iter=2), *digits).partial_fit(*digits)
    _assert_alike(model, twin, 1e-10)


def _leaves(value):
    if isinstance(value, dict):
        value = list(value.values())
    elif hasattr(value, "__dict__") and not isinstance(value, type):
        value = list(vars(value).values())
    if isinstance(value, (list, tuple)):
        for part in value:
            yield from _leaves(part)
    else:
        yield value


def test_training_changes_hands_between_backends(installed, digits):
    model = _fitted(_model(backend="cupy", warm_start=True), *digits)
    model = _fitted(model.set_params(backend="numpy"), *digits)
    assert model.backend_ == "numpy"
    twin = _fitted(_model(backend="numpy", warm_start=True), *digits)
    _assert_alike(model, _fitted(twin, *digits), 1e-9)


LOADS = """
import pickle, sys
import numpy as np
assert "cupy" not in sys.modules
sys.modules["cupy"] = None  # importing it fails
model, X = pickle.load(sys.stdin.buffer)
assert model.backend == model.backend_ == "cupy"
sys.stdout.buffer.write(pickle.dumps(model.predict_proba(X)))
"""


def test_pickles_load_and_predict_where_there_is_no_cupy(installed, digits):
    model = _fitted(_model(backend="cupy"), *digits)
    X = digits[0]
    content = pickle.dumps((model, X))
    found = subprocess.run(
        [sys.executable, "-c", LOADS], input=content, capture_output=True, check=False
    )
    assert found.returncode == 0, found.stderr.decode()
    np.testing.assert_allclose(pickle.loads(found.stdout), model.predict_proba(X), atol=1e-6)


@pytest.mark.parametrize("when", ["weights", "sweeps"])
def test_out_of_memory_names_the_batch_size_and_changes_nothing(
    installed, digits, monkeypatch, when
):
    model = _fitted(_model(backend="cupy"), *digits)
    before, weights = dict(vars(model)), model.coefs_[0].copy()

    def fail(*_, **__):
        raise installed.cuda.memory.OutOfMemoryError("Out of memory allocating 12 bytes.")

    if when == "weights":
        monkeypatch.setattr(installed.cuda, "largest_transfer", 100)
    else:
        calls, original = iter(range(9)), installed.zeros
        monkeypatch.setattr(
            installed,
            "zeros",
            lambda *a, **k: fail() if next(calls, None) is None else original(*a, **k),
        )
    with pytest.raises(MemoryError, match=r"batch_size=40 samples \(Out of memory allocating"):
        model.fit(*digits)
    assert vars(model).keys() == before.keys()
    assert all(vars(model)[name] is value for name, value in before.items())
    np.testing.assert_array_equal(model.coefs_[0], weights)
    fresh = _model(backend="cupy")
    with pytest.raises(MemoryError):
        fresh.fit(*digits)
    assert not hasattr(fresh, "coefs_")


EXTRAPOLATES = {"relaxation": "anderson", "relax_tol": 1e-7, "max_relax_iter": 15}
#: Of 60 steps the second half counts.
AVERAGES_LONG = {"objective": "trajectory", **EULER, "max_relax_iter": 8, "max_nudge_iter": 60}
AVERAGES_LONG["hidden_layer_sizes"] = (50,)


@pytest.mark.parametrize(
    ("settings", "n_states", "n_outputs_kept"),
    [
        ({}, 16, 0),
        ({"nudging": "centered"}, 2 * 16, 0),
        ({"relaxation": "euler", "max_relax_iter": 8}, 16, 0),
        (EXTRAPOLATES, 48, 0),
        ({**EXTRAPOLATES, "nudging": "centered"}, 2 * 48, 0),
        (AVERAGES_LONG, 16, 30),
        ({**AVERAGES_LONG, "nudging": "centered"}, 2 * 16, 30),
    ],
    ids=str,
)
def test_memory_is_bounded(installed, settings, n_states, n_outputs_kept):
    """As docs/gpu.md states it; the host's copies of the weights count here too."""
    rng = np.random.RandomState(0)
    n_classes = 100 if n_outputs_kept else 10
    X, y = rng.rand(400, 100).astype(np.float32), np.arange(400) % n_classes
    settings = {"hidden_layer_sizes": (200, 200), **settings}
    model = _model(backend="cupy", batch_size=200, max_iter=1, **settings)
    _fitted(model, X, y)  # compiles, fills caches
    if settings.get("relaxation") == "anderson":
        assert min(model.relaxation_["free_steps"]) > PLAIN_STEPS
    tracemalloc.start()
    try:
        _fitted(model, X, y)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    weights = sum(block.size for block in [*model.coefs_, *model.feedback_coefs_])
    on_device_and_host = 2 * (X.size + n_classes * len(X))
    n_units = sum(settings["hidden_layer_sizes"]) + n_classes
    a_sample = n_states * n_units + n_outputs_kept * n_classes
    assert peak <= 4 * (on_device_and_host + 12 * weights + 200 * a_sample)


def test_out_of_memory_while_settling_says_how_many_rows(installed, digits, monkeypatch):
    model = _fitted(_model(backend="cupy"), *digits)
    monkeypatch.setattr(installed.cuda, "largest_transfer", 100)
    with pytest.raises(
        MemoryError, match=r"settling \d+ rows at once \(.*\)\. Pass fewer rows than"
    ):
        model.predict(digits[0])


def test_moments_follow_a_change_of_type(installed, digits):
    coefs = []
    for backend in ("numpy", "cupy"):
        model = _fitted(_model(backend=backend, dtype="float32"), *digits)
        model.set_params(dtype="float64").partial_fit(*digits)
        coefs.append(model.coefs_[0])
        assert coefs[-1].dtype == np.float64
    np.testing.assert_allclose(*coefs, rtol=0, atol=1e-6)


@pytest.mark.parametrize(
    "more", [{"feedback": "tied"}, {"early_stopping": True}, {"augment": CROP}]
)
def test_an_interrupted_fit_continues_on_the_device(installed, digits, monkeypatch, tmp_path, more):
    settings = {"average_weights": True, "backend": "cupy", "alpha": 1e-3, "max_iter": 4} | more
    whole = _fitted(_model(**settings), *digits)
    model, train_on, n_calls = _model(checkpoint=tmp_path / "run", **settings), Trainer.train_on, []

    def stop(self, *given):
        n_calls.append(1)
        if len(n_calls) == 8:
            raise RuntimeError("stop")
        return train_on(self, *given)

    monkeypatch.setattr(Trainer, "train_on", stop)
    with pytest.raises(RuntimeError, match="stop"):
        model.fit(*digits)
    _assert_alike(_fitted(model, *digits), whole, 0)
    for left, right in zip(model._training_state.latest, whole._training_state.latest, strict=True):
        np.testing.assert_array_equal(left, right)
    assert model.backend_ == "cupy"
