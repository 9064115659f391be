"""Arrays on a CUDA device that are not CuPy's, with a stand-in; and arrays on another device."""

import types

import numpy as np
import pytest

from sklearn_eqprop import EqPropClassifier
from sklearn_eqprop.estimators import array_home
from tests.backend.fake_cupy import DeviceArray
from tests.backend.test_training_loop import _fitted

RNG = np.random.RandomState(0)
X, Y = RNG.standard_normal((60, 5)), RNG.randint(3, size=60)
SETTINGS = {"hidden_layer_sizes": (6, 5), "max_iter": 2, "batch_size": 20, "random_state": 0}


class Tensor:
    """As PyTorch's: on a device, which it names, and no array of CuPy's."""

    def __init__(self, content, number=0):
        self.content = content
        self.number = number

    shape = property(lambda self: self.content.shape)
    __cuda_array_interface__ = property(lambda self: self.content.__cuda_array_interface__)

    def __dlpack_device__(self):
        return 2, self.number

    def detach(self):
        return self

    cpu = detach

    def numpy(self):
        return self.content._host


@pytest.fixture
def namespace(installed, monkeypatch):
    """A namespace of tensors; CuPy takes them over as they are."""
    asarray = installed.asarray

    def taking_over(array, *args, **kwargs):
        return asarray(array.content if isinstance(array, Tensor) else array, *args, **kwargs)

    monkeypatch.setattr(installed, "asarray", taking_over)
    monkeypatch.setattr(installed.cuda.runtime, "getDevice", lambda: 0, raising=False)
    tensors = types.SimpleNamespace(from_dlpack=Tensor)
    namespaces = {Tensor: tensors}
    monkeypatch.setattr(
        array_home, "get_namespace", lambda X: (namespaces.get(type(X), np), type(X) in namespaces)
    )
    return tensors


@pytest.mark.parametrize("method", ["predict", "predict_proba", "decision_function", "transform"])
def test_results_are_the_namespaces_own(installed, namespace, method):
    there = Tensor(installed.asarray(X))
    model = _fitted(
        EqPropClassifier(**SETTINGS, backend="cupy"),
        there,
        Tensor(installed.asarray(Y)),
    )
    twin = _fitted(EqPropClassifier(**SETTINGS, backend="cupy"), X, Y)
    for one, other in zip(model.coefs_, twin.coefs_, strict=True):
        np.testing.assert_allclose(one, other, rtol=0, atol=1e-12)
    installed.counts.reset()
    found, expected = getattr(model, method)(there), getattr(model, method)(X)
    assert type(found) is Tensor
    assert type(found.content) is DeviceArray
    np.testing.assert_allclose(found.content._host, expected, rtol=0, atol=1e-12)


def test_states_are_the_namespaces_own(installed, namespace):
    there = Tensor(installed.asarray(X))
    model = _fitted(EqPropClassifier(**SETTINGS, backend="cupy"), X, Y)
    assert {type(state) for state in model.relax(there).states} == {Tensor}


def test_without_dispatch_results_are_cupys(installed, namespace, monkeypatch):
    monkeypatch.setattr(array_home, "get_namespace", lambda X: (np, False))
    model = _fitted(EqPropClassifier(**SETTINGS, backend="cupy"), X, Y)
    assert type(model.predict_proba(Tensor(installed.asarray(X)))) is DeviceArray


def test_text_stays_numpys(installed, namespace):
    model = _fitted(EqPropClassifier(**SETTINGS, backend="cupy"), X, np.array(["a", "b", "c"])[Y])
    assert type(model.predict(Tensor(installed.asarray(X)))) is np.ndarray


def test_arrays_on_another_device_are_refused(installed, namespace):
    model = _fitted(EqPropClassifier(**SETTINGS, backend="cupy"), X, Y)
    elsewhere = Tensor(installed.asarray(X), number=3)
    refused = r"on CUDA device 3, but the current device is 0.*with cupy\.cuda\.Device\(3\):"
    with pytest.raises(ValueError, match=refused):
        model.predict(elsewhere)
    with pytest.raises(ValueError, match=refused):
        model.fit(elsewhere, Y)
    installed.cuda.runtime.getDevice = lambda: 3
    assert type(model.predict(elsewhere)) is Tensor
