"""A device that is full, said in terms a user can act on."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from sklearn_eqprop.backend import ArrayBackend


@contextmanager
def explaining_full_device(backend: ArrayBackend, what: str, remedy: str) -> Iterator[None]:
    """While inside, a device out of memory is a MemoryError that names what for, and the remedy."""
    try:
        yield
    except backend.out_of_memory as error:
        if not backend.is_device:
            raise
        reason = (str(error).splitlines() or [type(error).__name__])[0].rstrip(".")
        msg = (
            f"The device has no memory left for {what} ({reason}). {remedy}, fewer or smaller "
            "hidden layers, dtype='float32', or backend='numpy'. The estimator is as it was before."
        )
        raise MemoryError(msg) from error
