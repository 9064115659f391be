"""A device that is full, said in terms a user can act on."""

from __future__ import annotations

import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from typing import Any, TypeVar, cast

from sklearn_eqprop._backend import ArrayBackend

#: What helps besides fewer samples at once, where the network takes the memory.
SMALLER_NETWORK = "fewer or smaller hidden layers, dtype='float32', or backend='numpy'"
#: What helps where rows that were passed on the device take it.
FEWER_ROWS = (
    "Pass fewer rows, rows in float32 or float64 (others are copied), or a NumPy array "
    "(cupy.asnumpy(X)), of which a part at a time is brought to the device"
)

Method = TypeVar("Method", bound=Callable[..., Any])


@contextmanager
def explaining_full_device(backend: ArrayBackend, what: str, remedy: str) -> Iterator[None]:
    """While inside, a device out of memory is a MemoryError that names what for, and the remedy.

    One that comes from inside explained already passes. Frames that such an error has come through
    are emptied, but not the one that uses this: it should hold nothing of the device.
    """
    handled = sys.exc_info()[1]  # where the caller is handling an error of his own
    try:
        yield
    except Exception as error:
        if not backend.is_device:
            raise
        is_full = backend.is_out_of_memory(error)
        if is_full or isinstance(error, MemoryError):
            _let_go_of_arrays(error, handled)
        if not is_full:
            raise
        reason = (str(error).splitlines() or [type(error).__name__])[0].rstrip(".")
        msg = (
            f"The device has no memory left for {what} ({reason}). {remedy}. The estimator is as "
            "it was before."
        )
        raise MemoryError(msg) from error


def explains_full_device(method: Method) -> Method:
    """A method of a fitted estimator, with X for its first argument, that explains a full device.

    What settling takes is explained where it is done; here everything before and after it.
    """

    @wraps(method)
    def explaining(self: Any, X: Any, *args: Any, **kwargs: Any) -> Any:
        backend = self._prediction_backend()
        with explaining_full_device(backend, f"what is made of {rows_of(X)}", FEWER_ROWS):
            return method(self, X, *args, **kwargs)

    return cast("Method", explaining)


def rows_of(X: Any, name: str = "X") -> str:
    """The rows of an argument in words; it may be anything yet."""
    shape = getattr(X, "shape", None)
    if isinstance(shape, tuple) and shape:
        return f"{shape[0]} rows of {name}"
    return f"the rows of {name}"


def _let_go_of_arrays(error: BaseException, handled: BaseException | None) -> None:
    """Empty the frames an error has come through: their arrays fill the device.

    Who catches the error may want to try again with fewer rows before it is forgotten. Frames of
    an error that was being handled before are the caller's.
    """
    cause: BaseException | None = error
    while cause is not None and cause is not handled:
        traceback.clear_frames(cause.__traceback__)
        cause = cause.__cause__ or cause.__context__
