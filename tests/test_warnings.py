"""Warnings can be filtered by category and by module, and show the line of the caller."""

import inspect
import warnings

import pytest
from sklearn.exceptions import ConvergenceWarning

from sklearn_eqprop import EqPropClassifier
from sklearn_eqprop.exceptions import EqPropConvergenceWarning, EqPropWarning

X, Y = [[0.0], [1.0], [2.0], [3.0]], [0, 0, 1, 1]


def warnings_of_a_short_fit():
    EqPropClassifier((2,), max_iter=1, learning_rate_init=1e-9, random_state=0).fit(X, Y)


def test_a_warning_is_ours_and_scikit_learns_and_shows_the_line_of_the_caller():
    with pytest.warns(EqPropConvergenceWarning) as said:
        warnings_of_a_short_fit()
    assert {issubclass(w.category, EqPropWarning | ConvergenceWarning) for w in said} == {True}
    lines, first = inspect.getsourcelines(warnings_of_a_short_fit)
    assert said[0].filename == __file__
    assert said[0].lineno == first + len(lines) - 1


@pytest.mark.parametrize(
    "wanted",
    [
        {"category": EqPropWarning},
        {"category": EqPropConvergenceWarning},
        {"category": ConvergenceWarning},
        {"module": "sklearn_eqprop"},
        {"module": "sklearn"},  # the prefix that silences scikit-learn's estimators
    ],
)
def test_each_filter_silences_a_fit(wanted):
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        warnings.filterwarnings("ignore", **wanted)
        warnings_of_a_short_fit()
    assert not said
