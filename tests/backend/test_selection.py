"""Which backend one gets; what one is told where it cannot be had."""

import sys
import tomllib
import types
import warnings
from importlib.util import find_spec
from pathlib import Path
from unittest.mock import MagicMock

import numpy as np
import pytest

from sklearn_eqprop import EqPropClassifier, EqPropRegressor
from sklearn_eqprop._backend import DeviceUnavailableError, NumpyBackend, get_backend, host
from sklearn_eqprop._backend.cuda import usability
from tests.backend.conftest import look_again
from tests.backend.fake_cuda import CUDARuntimeError, OutOfMemoryError

X = np.random.RandomState(0).standard_normal((20, 3))
Y = (X[:, 0] > 0).astype(int)


@pytest.fixture
def no_cupy(monkeypatch):
    monkeypatch.setitem(sys.modules, "cupy", None)  # neither found nor imported
    look_again()
    yield
    look_again()


def _refused(estimator=EqPropClassifier):
    """What a user is told, with the estimator left as it was."""
    model = estimator(backend="cupy", max_iter=1)
    before = dict(vars(model))
    with pytest.raises(DeviceUnavailableError) as caught:
        model.fit(X, Y)
    assert vars(model) == before
    return str(caught.value)


@pytest.mark.parametrize("estimator", [EqPropClassifier, EqPropRegressor])
def test_cupy_is_not_installed(no_cupy, estimator):
    said = _refused(estimator)
    assert said.startswith("backend='cupy' needs CuPy, which is not installed")
    for extra in ("cuda12", "cuda13"):
        assert f"pip install 'sklearn-eqprop[{extra}]'" in said
    assert "[cuda13]' (cards of compute capability 7.5 or higher)" in said
    assert "backend='numpy'" in said


def test_the_extras_exist():
    path = Path(__file__).parents[2] / "pyproject.toml"
    extras = tomllib.loads(path.read_text(encoding="utf-8"))["project"]["optional-dependencies"]
    for major in usability.CUDA_EXTRAS:
        assert any(f"cupy-cuda{major}x" in need for need in extras[f"cuda{major}"])


def test_there_is_no_driver(installed):
    installed.cuda.runtime.driver = 0
    said = _refused()
    assert "needs an NVIDIA driver, and this machine has none" in said
    assert "Install the driver" in said


@pytest.mark.parametrize(
    ("driver", "runtime", "remedy"),
    [
        (12040, 13000, "uninstall cupy-cuda13x and run pip install 'sklearn-eqprop[cuda12]'"),
        (11080, 12090, "Update the driver"),
        (11080, 13000, "Update the driver"),
    ],
)
def test_the_driver_is_too_old(installed, driver, runtime, remedy):
    installed.cuda.runtime.driver = driver
    installed.cuda.runtime.version = runtime
    said = _refused()
    assert f"supports CUDA up to {driver // 1000}.{driver % 1000 // 10}" in said
    assert f"built for CUDA {runtime // 1000}.{runtime % 1000 // 10}" in said
    assert remedy in said


def test_a_driver_of_the_same_major_version_is_enough(installed):
    installed.cuda.runtime.driver, installed.cuda.runtime.version = 12000, 12090
    assert get_backend("cupy").name == "cupy"


@pytest.mark.parametrize("capability", ["52", "61", "70", "72"])
def test_the_card_is_too_old(installed, monkeypatch, capability):
    """CUDA 13 compiles nothing for it; its driver is one of CUDA 13 all the same."""
    runtime = installed.cuda.runtime
    runtime.driver = runtime.version = 13000
    installed.cuda.compute_capability = capability
    monkeypatch.setattr(installed, "RawModule", lambda **_: pytest.fail("tried to compile"))
    said = _refused()
    assert f"has compute capability {capability[0]}.{capability[1]}, but" in said
    assert "built for CUDA 13.0, which needs 7.5 or higher" in said
    assert "Uninstall cupy-cuda13x and run pip install 'sklearn-eqprop[cuda12]'" in said
    assert said.count("pip install") == 1
    assert get_backend("auto").name == "numpy"


@pytest.mark.parametrize(("capability", "runtime"), [("75", 13000), ("120", 13000), ("61", 12090)])
def test_the_card_is_new_enough(installed, capability, runtime):
    installed.cuda.runtime.driver = 13000
    installed.cuda.runtime.version = runtime
    installed.cuda.compute_capability = capability
    assert get_backend("cupy").name == "cupy"


def test_there_is_no_device(installed, monkeypatch):
    installed.cuda.runtime.n_devices = 0
    assert "no CUDA device" in _refused()
    look_again()

    def fail():
        raise CUDARuntimeError("cudaErrorNoDevice: no CUDA-capable device is detected.")

    monkeypatch.setattr(installed.cuda.runtime, "getDeviceCount", fail)
    assert "no usable CUDA device (cudaErrorNoDevice: no CUDA-capable device" in _refused()


def test_libraries_are_missing(installed, monkeypatch):
    def fail(**_):
        raise RuntimeError("libnvrtc.so.12: cannot open shared object file\nlong story")

    monkeypatch.setattr(installed, "RawModule", fail)
    said = _refused()
    assert "could not compute on it (libnvrtc.so.12: cannot open shared object file)" in said
    assert "sklearn-eqprop[cuda12]" in said


@pytest.mark.parametrize(
    ("runtime", "driver", "remedy"),
    [
        (11080, 12040, "uninstall cupy-cuda11x and run pip install 'sklearn-eqprop[cuda12]'"),
        (14000, 14000, "uninstall cupy-cuda14x and run pip install 'sklearn-eqprop[cuda13]'"),
        (11080, 11080, "update the driver and reinstall CuPy"),
    ],
)
def test_only_extras_that_exist_are_advised(installed, monkeypatch, runtime, driver, remedy):
    installed.cuda.runtime.version, installed.cuda.runtime.driver = runtime, driver

    def fail(**_):
        raise RuntimeError("libnvrtc.so: cannot open shared object file")

    monkeypatch.setattr(installed, "RawModule", fail)
    said = _refused()
    assert f"headers are missing, {remedy}; or use backend='numpy'" in said
    assert not any(f"[cuda{major}]" in said for major in (11, 14))


def test_the_driver_cannot_be_asked(installed, monkeypatch):
    def fail():
        raise CUDARuntimeError("cudaErrorUnknown: unknown error")

    monkeypatch.setattr(installed.cuda.runtime, "driverGetVersion", fail)
    said = _refused()
    assert "could not read the CUDA driver's version (cudaErrorUnknown: unknown error)" in said
    assert "reinstall the driver" in said


def test_importing_cupy_fails(installed, monkeypatch):
    def fail(name):
        raise ImportError("libcublas is broken")

    monkeypatch.setattr(usability, "import_module", fail)
    assert "importing it failed (libcublas is broken)" in _refused()


FULL = [
    OutOfMemoryError("Out of memory allocating 512 bytes (allocated so far: 0 bytes)."),
    CUDARuntimeError("cudaErrorMemoryAllocation: out of memory"),
]


@pytest.mark.parametrize("error", FULL, ids=str)
def test_a_device_that_is_full_for_the_moment(installed, monkeypatch, error):
    """Said as it is, and not remembered: the other process may be gone the next time."""

    def fail(*_, **__):
        raise error

    with monkeypatch.context() as full:
        full.setattr(installed, "asarray", fail)
        for _ in range(2):
            model = EqPropClassifier((4,), backend="cupy", max_iter=1)
            before = dict(vars(model))
            with pytest.raises(
                MemoryError, match=r"memory is full \((Out of m|cudaErrorM)"
            ) as said:
                model.fit(X, Y)
            assert "pip install" not in str(said.value)
            assert vars(model) == before
            assert get_backend("auto").name == "numpy"
    assert get_backend("auto").name == get_backend("cupy").name == "cupy"


def _stub():
    """A module named cupy without a spec, as tests of other packages put in sys.modules."""
    return types.ModuleType("cupy")


def _stub_that_fails():
    stub = _stub()
    stub.__getattr__ = lambda name: 1 / 0
    return stub


@pytest.mark.parametrize("stub", [_stub, _stub_that_fails, MagicMock, lambda: None])
def test_auto_never_fails(installed, monkeypatch, stub):
    monkeypatch.setitem(sys.modules, "cupy", stub())
    model = EqPropClassifier((4,), max_iter=2, learning_rate="cosine", random_state=0).fit(X, Y)
    assert model.backend_ == "numpy"
    said = _refused()
    assert "a module named cupy that does not work as CuPy" in said or "not installed" in said


def test_why_is_looked_into_once(installed, monkeypatch):
    assert get_backend("cupy").name == "cupy"
    monkeypatch.setattr(usability, "_driver_trouble", lambda cp: pytest.fail("asked again"))
    assert get_backend("auto").name == "cupy"


@pytest.mark.parametrize("trouble", ["no driver", "broken", "none"])
def test_auto_takes_what_is_there_in_silence(installed, monkeypatch, trouble):
    if trouble == "no driver":
        monkeypatch.setattr(host, "_has_driver", lambda: False)
        for module in (host, usability):
            monkeypatch.setattr(module, "import_module", lambda name: pytest.fail("imported"))
    if trouble == "broken":
        installed.cuda.runtime.driver = 11000
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert get_backend("auto").name == ("cupy" if trouble == "none" else "numpy")
    model = EqPropRegressor((4,), max_iter=2, learning_rate="cosine", random_state=0)
    model.fit(X, X[:, 0])
    assert model.backend_ == ("cupy" if trouble == "none" else "numpy")


def test_auto_without_cupy(no_cupy):
    assert isinstance(get_backend("auto"), NumpyBackend)
    assert isinstance(get_backend("numpy"), NumpyBackend)


@pytest.mark.skipif(find_spec("cupy") is None, reason="needs CuPy")
def test_the_real_cupy_says_what_is_missing():
    """Where CuPy is installed: either it works, or one of the reasons above is given."""
    assert "fake" not in repr(sys.modules.get("cupy"))
    look_again()
    why = usability.why_no_device()
    if why:
        known = ("needs an NVIDIA driver", "the NVIDIA driver supports", "no usable CUDA device")
        assert any(reason in why for reason in known)
        assert get_backend("auto").name == "numpy"
    else:
        assert get_backend("auto").name == "cupy"
