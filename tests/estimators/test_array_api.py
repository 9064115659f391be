"""Arrays of other namespaces, with scikit-learn's ``array_api_dispatch``."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from sklearn_eqprop import EqPropClassifier

CASES = Path(__file__).with_name("array_api_cases.py")


def test_array_api_dispatch():
    """The cases in `array_api_cases.py`, with SciPy told to expect such arrays."""
    pytest.importorskip("array_api_strict", minversion="2.0")
    sklearn = pytest.importorskip("sklearn")
    if tuple(map(int, sklearn.__version__.split(".")[:2])) < (1, 7):
        pytest.importorskip("array_api_compat", reason="scikit-learn 1.6 needs it for dispatch")
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(CASES)]
    environment = {**os.environ, "SCIPY_ARRAY_API": "1"}
    done = subprocess.run(
        command, env=environment, cwd=CASES.parents[2], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert " passed" in done.stdout


def test_without_dispatch_they_are_what_numpy_makes_of_them():
    strict = pytest.importorskip("array_api_strict")
    X = np.random.RandomState(0).standard_normal((30, 4))
    y = (X[:, 0] > 0).astype(int)
    model = EqPropClassifier((5,), max_iter=2, learning_rate="cosine", random_state=0)
    expected = model.fit(X, y).predict(X)
    found = model.predict(strict.asarray(X))
    assert type(found) is np.ndarray
    np.testing.assert_array_equal(found, expected)
