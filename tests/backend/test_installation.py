"""Installations of CuPy that lack something."""

import tomllib
from pathlib import Path

import pytest

from sklearn_eqprop._backend import DeviceUnavailableError, get_backend

PROJECT = Path(__file__).parents[2] / "pyproject.toml"


def test_headers_are_missing(installed, monkeypatch):
    """Which CuPy's own kernels are compiled with; ours, and products, take none."""

    def fail(*_):
        raise RuntimeError("cannot open source file cuda_fp16.h\nlong story")

    monkeypatch.setattr(installed, "isfinite", fail)
    assert get_backend("auto").name == "numpy"
    with pytest.raises(DeviceUnavailableError) as caught:
        get_backend("cupy")
    assert "could not compute on it (cannot open source file cuda_fp16.h)" in str(caught.value)
    assert "libraries or headers are missing, pip install 'sklearn-eqprop[cuda12]'" in str(
        caught.value
    )


@pytest.mark.parametrize("major", [12, 13])
def test_the_extras_ask_for_a_cupy_that_brings_the_libraries(major):
    """CuPy 13 has no extra 'ctk': pip would pass over it with no more than a warning."""
    project = tomllib.loads(PROJECT.read_text(encoding="utf-8"))["project"]
    assert project["optional-dependencies"][f"cuda{major}"] == [f"cupy-cuda{major}x[ctk]>=14.0"]
