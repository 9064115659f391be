"""Warnings that point to the line of the user's code that led to them."""

import inspect
import warnings
from types import FrameType

from sklearn.exceptions import ConvergenceWarning

#: Frames of these packages are skipped. scikit-learn wraps some methods, for example transform.
LIBRARIES = ("sklearn_eqprop", "sklearn", "joblib")


def warn_at_call(message: str, category: type[Warning] = ConvergenceWarning) -> None:
    """Warn at the innermost line of code outside `LIBRARIES`.

    Parameters
    ----------
    message : str
    category : type of Warning, default=ConvergenceWarning
    """
    level, frame = 1, inspect.currentframe()
    while frame is not None and _is_of_library(frame):
        level, frame = level + 1, frame.f_back
    warnings.warn(message, category, stacklevel=level)


def _is_of_library(frame: FrameType) -> bool:
    name = str(frame.f_globals.get("__name__", ""))
    return name.partition(".")[0] in LIBRARIES
