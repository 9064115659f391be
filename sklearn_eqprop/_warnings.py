"""Warnings that point to the line of the user's code that led to them."""

import sys
import warnings
from types import FrameType

from sklearn_eqprop.exceptions import EqPropConvergenceWarning, EqPropWarning

#: Frames of these packages are skipped. scikit-learn wraps some methods, for example transform.
LIBRARIES = ("sklearn_eqprop", "sklearn", "joblib")


def warn_at_call(message: str, category: type[EqPropWarning] = EqPropConvergenceWarning) -> None:
    """Warn at the innermost line of code outside `LIBRARIES`.

    The warning shows the line of that code, but names this package as its module. Users can
    therefore filter it by category or with ``module="sklearn_eqprop"``.
    """
    frame = sys._getframe()
    while frame.f_back is not None and _is_of_library(frame):
        frame = frame.f_back
    warnings.warn_explicit(
        message,
        category,
        frame.f_code.co_filename,
        frame.f_lineno,
        module="sklearn_eqprop",
        registry=frame.f_globals.setdefault("__warningregistry__", {}),
    )


def _is_of_library(frame: FrameType) -> bool:
    name = str(frame.f_globals.get("__name__", ""))
    return name.partition(".")[0] in LIBRARIES
