"""What a fit says."""

import warnings

from sklearn_eqprop.exceptions import EqPropConvergenceWarning


def fit_and_listen(model, X, y, **arguments):
    """Fit; the text of every warning."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        model.fit(X, y, **arguments)
    assert {w.category for w in caught} <= {EqPropConvergenceWarning}
    return [str(w.message) for w in caught]
