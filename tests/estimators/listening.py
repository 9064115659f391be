"""What a fit says, and whether it advises what is in force."""

import re
import warnings

from sklearn_eqprop._estimators.parameters.config import Config
from sklearn_eqprop.exceptions import EqPropConvergenceWarning


def fit_and_listen(model, X, y, **arguments):
    """Fit; the text of every warning."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        model.fit(X, y, **arguments)
    assert {w.category for w in caught} <= {EqPropConvergenceWarning}
    return [str(w.message) for w in caught]


def assert_nothing_in_force(text, model):
    """No setting that a text names, such as dtype='float64', is the present one."""
    now = model.get_params()
    for name, value in re.findall(r"(\w+)=('\w+'|True|False|None|[\d.e+-]*\d)", text):
        assert repr(now[name]) != value, (name, value, text)
    if Config.of(model).loop_bound is None:
        assert not re.search("(lower|raise) loop_gain", text.lower())
    else:
        assert "set loop_gain" not in text.lower()
