"""Diagnostics of sparse X say what they say of the same X dense, to the last bit."""

import dataclasses
import warnings

import numpy as np
import pytest
from numpy.testing import assert_equal
from scipy import sparse
from sklearn.exceptions import ConvergenceWarning

from sklearn_eqprop import EqPropClassifier, EqPropRegressor
from sklearn_eqprop.diagnostics import (
    ErrorProcessesDisplay,
    GoodParameterDisplay,
    GradientAlignmentDisplay,
    HealthReportDisplay,
    JacobianSymmetryDisplay,
    _subject,
    error_processes,
    good_parameter,
    gradient_alignment,
    health_report,
    jacobian_symmetry,
)

DIAGNOSTICS = {
    "gradient_alignment": gradient_alignment,
    "jacobian_symmetry": lambda model, X, y: jacobian_symmetry(model, X),
    "error_processes": error_processes,
    "good_parameter": good_parameter,
    "health_report": health_report,
}
FORMATS = ["csr", "csc", "coo", "lil", "dok", "bsr", "dia"]


@pytest.fixture(params=[0.3, 0.01], ids=["some", "few"])
def rows(request):
    """Few enough of them, and predictions multiply them as they are."""
    X = sparse.random(60, 400, density=request.param, random_state=0, format="csr")
    return X, np.arange(60) % 3


def _fitted(X, y, estimator=EqPropClassifier, **settings):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        return estimator((6, 5), max_iter=3, random_state=0, **settings).fit(X, y)


def _found(diagnostic, model, X, y):
    return dataclasses.asdict(DIAGNOSTICS[diagnostic](model, X, y))


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("diagnostic", DIAGNOSTICS)
def test_sparse_is_dense(rows, diagnostic, dtype):
    X, y = rows
    model = _fitted(X, y, dtype=dtype)
    assert_equal(_found(diagnostic, model, X, y), _found(diagnostic, model, X.toarray(), y))


@pytest.mark.parametrize("kind", ["matrix", "array"])
@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize("diagnostic", DIAGNOSTICS)
def test_every_format(diagnostic, form, kind):
    X = sparse.random(12, 30, density=0.2, random_state=0, format="csr")
    y = X.sum(axis=1).A1
    model = _fitted(X, y, EqPropRegressor)
    other = getattr(sparse, f"{form}_{kind}")(X)
    before = other.copy()
    assert_equal(_found(diagnostic, model, other, y), _found(diagnostic, model, X.toarray(), y))
    assert (other != before).nnz == 0


def test_numbers_stored_in_parts_or_in_another_type():
    rng = np.random.RandomState(0)
    X = sparse.coo_array((np.ones(40, int), (rng.randint(6, size=40), rng.randint(5, size=40))))
    assert X.nnz > X.tocsr().nnz
    y = rng.standard_normal(6)
    model = _fitted(X.toarray(), y, EqPropRegressor)
    for given in (X, X.astype(np.float32), X.astype(bool).astype(np.int8)):
        dense = given.toarray()
        assert_equal(
            _found("gradient_alignment", model, given, y),
            _found("gradient_alignment", model, dense, y),
        )


def test_only_so_many_rows_become_dense_at_once(monkeypatch):
    X = sparse.random(40, 300_000, density=1e-4, random_state=0, format="csr")
    y = np.arange(40) % 2
    model, taken = _fitted(X, y), []
    of_subject = _subject.Subject.inputs

    def counting(self, rows):
        taken.append(of_subject(self, rows))
        return taken[-1]

    monkeypatch.setattr(_subject.Subject, "inputs", counting)
    jacobian_symmetry(model, X)
    assert [len(part) for part in taken] == [20, 20]


@pytest.mark.parametrize("diagnostic", DIAGNOSTICS)
def test_sparse_that_does_not_fit(rows, diagnostic):
    X, y = rows
    model = _fitted(X, y)
    with pytest.raises(ValueError, match="expecting 400 features"):
        DIAGNOSTICS[diagnostic](model, X[:, :7], y)


def test_displays(rows):
    pytest.importorskip("matplotlib").use("agg")
    import matplotlib.pyplot as plt

    X, y = rows
    model = _fitted(X, y)
    for display in (
        ErrorProcessesDisplay,
        GoodParameterDisplay,
        GradientAlignmentDisplay,
        HealthReportDisplay,
    ):
        assert display.from_estimator(model, X, y).figure_ is not None
    assert JacobianSymmetryDisplay.from_estimator(model, X).figure_ is not None
    plt.close("all")
