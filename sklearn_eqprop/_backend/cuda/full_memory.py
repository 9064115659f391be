"""Errors of a full device, explained so that a user can act on them."""

from __future__ import annotations

import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

#: Texts that CUDA and its libraries use for a full device, besides CuPy's own error.
OUT_OF_MEMORY = ("cudaErrorMemoryAllocation", "CUDA_ERROR_OUT_OF_MEMORY", "STATUS_ALLOC_FAILED")


def is_out_of_memory(cp: Any, error: BaseException) -> bool:
    """Whether an error says that the memory of the device is full.

    Parameters
    ----------
    cp : module
        ``cupy``, or a module with its interface.
    error : BaseException
    """
    if isinstance(error, cp.cuda.memory.OutOfMemoryError):
        return True
    # By their texts, because some of these types exist only on machines with a device.
    return isinstance(error, RuntimeError) and any(text in str(error) for text in OUT_OF_MEMORY)


@contextmanager
def explaining_full_memory(cp: Any, what: str, remedy: str) -> Iterator[None]:
    """Inside, a full device raises a MemoryError that says what needed memory, and the remedy.

    A MemoryError that an inner block has explained already is not wrapped again. Frames that the
    error has come through are cleared, because their arrays still fill the device. The frame that
    uses this context is not cleared: it should hold no arrays of the device.

    Parameters
    ----------
    cp : module
        ``cupy``, or a module with its interface.
    what, remedy : str
        See `ArrayBackend.explaining_full_memory`.

    Raises
    ------
    MemoryError
        If the memory of the device is full.
    """
    handled = sys.exc_info()[1]  # an error that the caller is handling already
    try:
        yield
    except Exception as error:
        is_full = is_out_of_memory(cp, error)
        if is_full or isinstance(error, MemoryError):
            _clear_frames(error, handled)
        if not is_full:
            raise
        reason = (str(error).splitlines() or [type(error).__name__])[0].rstrip(".")
        msg = (
            f"The device has no memory left for {what} ({reason}). {remedy}. The estimator is as "
            "it was before."
        )
        raise MemoryError(msg) from error


def _clear_frames(error: BaseException, handled: BaseException | None) -> None:
    """Clear the frames an error has come through, so that their arrays are freed.

    Whoever catches the error may try again with fewer rows while the error still exists. The frames
    of an error that was being handled before are the caller's and stay.
    """
    cause: BaseException | None = error
    while cause is not None and cause is not handled:
        traceback.clear_frames(cause.__traceback__)
        cause = cause.__cause__ or cause.__context__
