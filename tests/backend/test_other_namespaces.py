"""Arrays on a CUDA device that are not CuPy's, with a stand-in; and arrays on another device."""

import types

import numpy as np
import pytest

from sklearn_eqprop import EqPropClassifier
from sklearn_eqprop._estimators.data import array_home
from tests.backend.fake_cupy import DeviceArray
from tests.backend.test_training_loop import _fitted

RNG = np.random.RandomState(0)
X, Y = RNG.standard_normal((60, 5)), RNG.randint(3, size=60)
SETTINGS = {"hidden_layer_sizes": (6, 5), "max_iter": 2, "batch_size": 20, "random_state": 0}


class Tensor:
    """As PyTorch's: on a device, which it names, and no array of CuPy's.

    What it holds may be yet to come, by work on a stream of its own; who takes it over by DLPack
    is made to wait for that, by the other interface not.
    """

    requires_grad = False
    type_name = "float64"

    def __init__(self, content, number=0):
        self.content = content
        self.number = number
        self.done = None

    shape = property(lambda self: self.content.shape)
    dtype = property(lambda self: f"torch.{self.type_name}")

    @property
    def __cuda_array_interface__(self):
        if self.requires_grad:
            raise RuntimeError("Can't get __cuda_array_interface__ on Variable that requires grad.")
        return {"float64": self.content.__cuda_array_interface__}[self.type_name]

    def __dlpack_device__(self):
        return 2, self.number

    def __dlpack__(self, *, stream):
        if self.requires_grad:
            raise BufferError("Can't export tensors that require gradient, use tensor.detach()")
        if self.type_name == "bfloat16":
            raise NotImplementedError("CuPy does not support bfloat16.")
        if self.done is not None:
            stream.wait_event(self.done)
        return self.content

    def detach(self):
        detached = Tensor(self.content, self.number)
        detached.done, detached.type_name = self.done, self.type_name
        return detached

    def cpu(self):
        return self

    def numpy(self):
        if self.requires_grad:
            raise RuntimeError("Can't call numpy() on Tensor that requires grad.")
        return self.content._host


@pytest.fixture
def namespace(installed, monkeypatch):
    """A namespace of tensors; CuPy takes them over as they are."""
    tensors = types.SimpleNamespace(from_dlpack=Tensor)
    namespaces = {Tensor: tensors}
    monkeypatch.setattr(
        array_home, "get_namespace", lambda X: (namespaces.get(type(X), np), type(X) in namespaces)
    )
    return tensors


def _needing_gradients(array):
    tensor = Tensor(array)
    tensor.requires_grad = True
    return tensor


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
    installed.cuda.runtime.current_device = 3
    assert type(model.predict(elsewhere)) is Tensor


def test_tensors_that_need_gradients(installed, namespace):
    model = EqPropClassifier(**SETTINGS, backend="cupy")
    there, labels = (_needing_gradients(installed.asarray(array)) for array in (X, Y))
    weight = _needing_gradients(installed.asarray(np.ones(60)))
    _fitted(model, there, labels, sample_weight=weight)
    twin = _fitted(EqPropClassifier(**SETTINGS, backend="cupy"), X, Y)
    np.testing.assert_allclose(model.coefs_[0], twin.coefs_[0], rtol=0, atol=1e-12)
    assert type(model.predict_proba(there)) is Tensor
    with pytest.raises(ValueError, match=r"on a CUDA device, but backend='numpy'"):
        EqPropClassifier(**SETTINGS, backend="numpy").fit(there, Y)


def test_types_that_cupy_has_not(installed, namespace):
    there = Tensor(installed.asarray(X))
    there.type_name = "bfloat16"
    refused = r"Tensor of torch\.bfloat16, which CuPy cannot take over \(.*Pass float32 or float64"
    with pytest.raises(ValueError, match=refused):
        EqPropClassifier(**SETTINGS, backend="cupy").fit(there, Y)


def test_what_a_tensor_is_yet_to_hold_is_waited_for(installed, namespace):
    model = _fitted(EqPropClassifier(**SETTINGS, backend="cupy"), X, Y)
    expected = model.predict_proba(X)
    there = Tensor(installed.asarray(np.zeros_like(X)))
    its_own = installed.cuda.Stream(non_blocking=True)
    its_own.queue(lambda: np.copyto(there.content._memory, X))
    there.done = installed.cuda.Event(disable_timing=True)
    there.done.record(its_own)
    np.testing.assert_array_equal(model.predict_proba(there).content._host, expected)


class Unordered:
    """As Numba's arrays: on a device, with the older interface alone."""

    def __init__(self, content):
        self.content = content

    shape = property(lambda self: self.content.shape)
    __cuda_array_interface__ = property(lambda self: self.content.__cuda_array_interface__)


def test_arrays_with_the_older_interface_alone(installed, namespace, monkeypatch):
    asarray = installed.asarray

    def taking_over(array, *args, **kwargs):
        return asarray(array.content if type(array) is Unordered else array, *args, **kwargs)

    monkeypatch.setattr(installed, "asarray", taking_over)
    model = _fitted(EqPropClassifier(**SETTINGS, backend="cupy"), X, Y)
    found = model.predict_proba(Unordered(installed.asarray(X)))
    np.testing.assert_array_equal(found._host, model.predict_proba(X))
