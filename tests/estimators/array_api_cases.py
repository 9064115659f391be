"""Run by test_array_api.py in a process of its own: SciPy must have been told in advance."""

import importlib.util
import types

import array_api_strict as strict
import numpy as np
import pytest
from sklearn import config_context
from sklearn.datasets import load_digits

from sklearn_eqprop import EqPropClassifier, EqPropRegressor

X, Y = load_digits(return_X_y=True)
X, Y = X[:120] / 16, Y[:120]
SETTINGS = {"hidden_layer_sizes": (9, 8), "max_iter": 2, "learning_rate": "cosine"}
SETTINGS |= {"random_state": 0, "n_iter_no_change": None, "batch_size": 40}
DEVICE = strict.Device("device1") if hasattr(strict, "Device") else None
pytestmark = pytest.mark.filterwarnings(
    "ignore:Training did not learn", "ignore:The columns of X vary"
)


def there(array, dtype=None):
    dtype = dtype or {"f": "float64", "i": "int64"}[np.asarray(array).dtype.kind]
    return strict.asarray(np.asarray(array), dtype=getattr(strict, dtype), device=DEVICE)


def here(array):
    assert array.__array_namespace__().__name__ == "array_api_strict"
    assert array.device == DEVICE
    return np.asarray(strict.asarray(array, device=strict.Device("CPU_DEVICE")))


@pytest.fixture(autouse=True)
def dispatching():
    with config_context(array_api_dispatch=True):
        yield


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_classifier(dtype):
    host = X.astype(dtype)
    weight = np.random.RandomState(0).uniform(0.5, 2, 120)
    theirs = EqPropClassifier(**SETTINGS).fit(host, Y, sample_weight=weight)
    ours = EqPropClassifier(**SETTINGS).fit(
        there(host, dtype), there(Y), sample_weight=there(weight)
    )
    for one, other in zip(ours.coefs_, theirs.coefs_, strict=True):
        assert type(one) is np.ndarray
        np.testing.assert_array_equal(one, other)
    for method in (
        "predict",
        "predict_proba",
        "predict_log_proba",
        "decision_function",
        "transform",
    ):
        found, expected = getattr(ours, method)(there(host, dtype)), getattr(theirs, method)(host)
        np.testing.assert_array_equal(here(found), expected)
        assert here(found).dtype == expected.dtype
        assert type(getattr(ours, method)(host)) is np.ndarray
    assert ours.score(there(host, dtype), there(Y)) == theirs.score(host, Y)
    for one, other in zip(
        ours.relax(there(host, dtype), there(Y), beta=0.1).states,
        theirs.relax(host, Y, beta=0.1).states,
        strict=True,
    ):
        np.testing.assert_array_equal(here(one), other)


@pytest.mark.parametrize("n_outputs", [1, 2])
def test_regressor(n_outputs):
    y = np.stack([Y, 9 - Y], axis=1)[:, :n_outputs].astype(float)
    y = y.ravel() if n_outputs == 1 else y
    theirs = EqPropRegressor(**SETTINGS).fit(X, y)
    ours = EqPropRegressor(**SETTINGS).fit(there(X), there(y))
    np.testing.assert_array_equal(here(ours.predict(there(X))), theirs.predict(X))
    assert ours.score(there(X), there(y)) == theirs.score(X, y)


def test_text_is_numpys():
    y = np.array(["even", "odd"])[Y % 2]
    model = EqPropClassifier(**SETTINGS).fit(there(X), y)
    np.testing.assert_array_equal(model.predict(there(X)), model.predict(X))


def test_partial_fit():
    ours, theirs = EqPropClassifier(**SETTINGS), EqPropClassifier(**SETTINGS)
    for _ in range(2):
        ours.partial_fit(there(X), there(Y), classes=np.arange(10))
        theirs.partial_fit(X, Y, classes=np.arange(10))
    np.testing.assert_array_equal(ours.coefs_[0], theirs.coefs_[0])


def test_bad_input_is_refused():
    bad = X.copy()
    bad[3, 2] = np.nan
    with pytest.raises(ValueError, match="NaN"):
        EqPropClassifier(**SETTINGS).fit(there(bad), there(Y))


class NumpyLike:
    """An array of a namespace whose name ends in "numpy", as that of JAX."""

    def __init__(self, array):
        self.array = np.asarray(array)
        self.shape, self.dtype, self.device = self.array.shape, self.array.dtype, "chip 7"

    def __array__(self, dtype=None, copy=None):
        return np.asarray(self.array, dtype=dtype)

    def __array_namespace__(self, api_version=None):
        return NAMESPACE


NAMESPACE = types.SimpleNamespace(
    __name__="other.numpy", asarray=lambda array, device: NumpyLike(array)
)


def arrays_of_others():
    """Ways to make, and to read, arrays of namespaces whose name ends in "numpy"."""
    yield NumpyLike, NumpyLike
    if importlib.util.find_spec("jax"):
        import jax

        yield jax.numpy.asarray, jax.Array


@pytest.mark.parametrize(("make", "kind"), list(arrays_of_others()))
def test_a_namespace_is_not_known_by_its_name(make, kind):
    host = X.astype(np.float32)
    weight = np.linspace(0.5, 2, 120, dtype=np.float32)
    settings = SETTINGS | {"early_stopping": True}
    theirs = EqPropClassifier(**settings).fit(
        host, Y, weight, X_val=host, y_val=Y, sample_weight_val=weight
    )
    ours = EqPropClassifier(**settings).fit(
        *map(make, (host, Y, weight)),
        X_val=make(host),
        y_val=make(Y),
        sample_weight_val=make(weight),
    )
    for name in ("predict", "predict_proba", "decision_function", "transform"):
        found = getattr(ours, name)(make(host))
        assert isinstance(found, kind), name
        np.testing.assert_array_equal(np.asarray(found), getattr(theirs, name)(host))
    assert ours.score(make(host), make(Y), make(weight)) == theirs.score(host, Y, weight)
    states = ours.relax(make(host), make(Y), beta=0.1).states
    assert all(isinstance(state, kind) for state in states)
    assert type(ours.predict(host)) is np.ndarray


def test_torch():
    torch = pytest.importorskip("torch")
    x, y = torch.asarray(X), torch.asarray(Y)
    ours = EqPropClassifier(**SETTINGS).fit(x, y)
    theirs = EqPropClassifier(**SETTINGS).fit(X, Y)
    found = ours.predict_proba(x)
    assert isinstance(found, torch.Tensor)
    np.testing.assert_array_equal(found.numpy(), theirs.predict_proba(X))


def test_numbers_of_a_type_that_numpy_has_not(monkeypatch):
    """As PyTorch's bfloat16."""

    def fail(*_):
        raise TypeError("Got unsupported ScalarType BFloat16")

    monkeypatch.setattr("sklearn_eqprop._estimators.data.array_home._convert_to_numpy", fail)
    message = r"X is a array_api_strict.* NumPy cannot take over \(Got unsupported .*Pass float32"
    with pytest.raises(ValueError, match=message):
        EqPropClassifier(**SETTINGS).fit(there(X), Y)
