"""A device that is full, said in terms a user can act on."""

from __future__ import annotations

import traceback
from collections.abc import Iterator
from contextlib import contextmanager

from sklearn_eqprop.backend import ArrayBackend


@contextmanager
def explaining_full_device(backend: ArrayBackend, what: str, remedy: str) -> Iterator[None]:
    """While inside, a device out of memory is a MemoryError that names what for, and the remedy."""
    try:
        yield
    except Exception as error:
        if not (backend.is_device and backend.is_out_of_memory(error)):
            raise
        _let_go_of_arrays(error)
        reason = (str(error).splitlines() or [type(error).__name__])[0].rstrip(".")
        msg = (
            f"The device has no memory left for {what} ({reason}). {remedy}, fewer or smaller "
            "hidden layers, dtype='float32', or backend='numpy'. The estimator is as it was before."
        )
        raise MemoryError(msg) from error


def _let_go_of_arrays(error: BaseException) -> None:
    """Empty the frames an error has come through: their arrays fill the device.

    Who catches the error may want to try again with fewer rows before it is forgotten.
    """
    cause: BaseException | None = error
    while cause is not None:
        traceback.clear_frames(cause.__traceback__)
        cause = cause.__cause__ or cause.__context__
