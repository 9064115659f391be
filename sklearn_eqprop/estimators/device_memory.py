"""A device that is full, said in terms a user can act on."""

from __future__ import annotations

import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager

from sklearn_eqprop.backend import ArrayBackend


@contextmanager
def explaining_full_device(backend: ArrayBackend, what: str, remedy: str) -> Iterator[None]:
    """While inside, a device out of memory is a MemoryError that names what for, and the remedy."""
    handled = sys.exc_info()[1]  # where the caller is handling an error of his own
    try:
        yield
    except Exception as error:
        if not (backend.is_device and backend.is_out_of_memory(error)):
            raise
        _let_go_of_arrays(error, handled)
        reason = (str(error).splitlines() or [type(error).__name__])[0].rstrip(".")
        msg = (
            f"The device has no memory left for {what} ({reason}). {remedy}, fewer or smaller "
            "hidden layers, dtype='float32', or backend='numpy'. The estimator is as it was before."
        )
        raise MemoryError(msg) from error


def _let_go_of_arrays(error: BaseException, handled: BaseException | None) -> None:
    """Empty the frames an error has come through: their arrays fill the device.

    Who catches the error may want to try again with fewer rows before it is forgotten. Frames of
    an error that was being handled before are the caller's.
    """
    cause: BaseException | None = error
    while cause is not None and cause is not handled:
        traceback.clear_frames(cause.__traceback__)
        cause = cause.__cause__ or cause.__context__
