"""Remedies for a full device, and a decorator for the estimators' methods."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any, TypeVar, cast

from sklearn_eqprop._backend import ArrayBackend

#: Remedy if the network needs the memory, besides fewer samples at once.
SMALLER_NETWORK = "fewer or smaller hidden layers, dtype='float32', or backend='numpy'"
#: Remedy if rows that the user has put on the device need the memory.
FEWER_ROWS = (
    "Pass fewer rows, rows in float32 or float64 (others are copied), or a NumPy array "
    "(cupy.asnumpy(X)), of which a part at a time is brought to the device"
)

Method = TypeVar("Method", bound=Callable[..., Any])


def explains_full_device(method: Method) -> Method:
    """A method of a fitted estimator, with X as its first argument, that explains a full device.

    Settling has its own explanation. This one covers everything before and after it.
    """

    @wraps(method)
    def explaining(self: Any, X: Any, *args: Any, **kwargs: Any) -> Any:
        backend: ArrayBackend = self._prediction_backend()
        if not backend.is_device:
            return method(self, X, *args, **kwargs)
        with backend.explaining_full_memory(f"processing {rows_of(X)}", FEWER_ROWS):
            return method(self, X, *args, **kwargs)

    return cast("Method", explaining)


def rows_of(X: Any, name: str = "X") -> str:
    """The rows of an argument in words; the argument has not been validated yet."""
    shape = getattr(X, "shape", None)
    if isinstance(shape, tuple) and shape:
        return f"{shape[0]} rows of {name}"
    return f"the rows of {name}"
