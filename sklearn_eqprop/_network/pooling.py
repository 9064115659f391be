"""Pooling by the maximum: who wins in each window, and signals that go to the winners alone."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from sklearn_eqprop._backend.array_backend import Array


def _members(convolved: Array, side: int) -> Iterator[tuple[int, Array]]:
    """Each member of the windows in turn, a view (n, pooled height, pooled width, filters)."""
    height, width = convolved.shape[1] // side, convolved.shape[2] // side
    for index in range(side * side):
        i, j = divmod(index, side)
        yield index, convolved[:, i : i + side * height : side, j : j + side * width : side]


def pool_maximum(xp: Any, convolved: Array, side: int, out: Array, winners: Array) -> None:
    """Largest member of each window, and which it is; of equal ones the first.

    Parameters
    ----------
    xp : module
    convolved : array of shape (n, height, width, filters)
    side : int
        Of the windows.
    out, winners : arrays of shape (n, height // side, width // side, filters)
        Overwritten; winners hold row-major positions within the window.
    """
    for index, member in _members(convolved, side):
        if index == 0:
            out[...] = member
            winners[...] = 0
            continue
        # NaN counts as largest, so that it is not lost.
        better = ~(member <= out)
        xp.copyto(winners, winners.dtype.type(index), where=better)
        xp.maximum(out, member, out=out)


def pick_winners(xp: Any, convolved: Array, side: int, winners: Array, out: Array) -> None:
    """What those members say that have won before; into `out`."""
    for index, member in _members(convolved, side):
        xp.copyto(out, member, where=winners == index)


def give_to_winners(xp: Any, pooled: Array, side: int, winners: Array, out: Array) -> None:
    """The transpose of `pick_winners`: 0 for members that have not won; overwrites `out`."""
    height, width = pooled.shape[1] * side, pooled.shape[2] * side
    if (height, width) != out.shape[1:3]:
        out[...] = 0  # what fills no window
    for index, member in _members(out, side):
        xp.multiply(pooled, winners == index, out=member)


def winner_type(side: int) -> str:
    """Small type that tells the members of a window apart."""
    return "uint8" if side <= 16 else "uint32"
