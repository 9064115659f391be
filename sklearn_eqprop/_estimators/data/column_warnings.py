"""Texts of the warnings and the error about columns of X."""

from typing import Any

import numpy as np
from scipy import sparse

from sklearn_eqprop._warnings import warn_at_call

#: A message names at most this many columns besides the first.
MOST_NAMED = 5
STANDARDISE = "Put a StandardScaler in front: make_pipeline(StandardScaler(), ...)."


def check_range(largest: np.ndarray, dtype: Any, name: str) -> None:
    """Refuse or warn about columns of such largest magnitudes, see `rows.check_inputs_fit`."""
    limits = np.finfo(dtype)
    column = int(largest.argmax())
    if largest[column] > limits.max:
        msg = (
            f"Column {column} of {name} holds numbers up to {largest[column]:.3g}, but the "
            f"largest of {limits.dtype} is {limits.max:.3g}. Set dtype='float64', or divide the "
            "column by a constant."
        )
        raise ValueError(msg)
    lost = np.flatnonzero((largest > 0) & (largest < limits.tiny))
    if lost.size:
        warn_at_call(
            f"Column {lost[0]} of {name} holds numbers of at most {largest[lost[0]]:.3g}"
            f"{_and_others(lost)}. Numbers below {limits.tiny:.3g} lose digits or become 0 in "
            f"{limits.dtype}. Set dtype='float64', or multiply the column by a constant."
        )


def warn_about_offset(
    hidden: np.ndarray, mean: np.ndarray, spread: np.ndarray, kind: str, *, is_sparse: bool
) -> None:
    """Warn about columns, given by their indices, with a mean far larger than their deviation."""
    first = hidden[0]
    remedy = STANDARDISE
    if is_sparse:
        remedy = "Subtract the mean of such columns, or leave them out of the sparse matrix."
    elif kind == "channel":
        remedy = "Subtract the mean of the channel, and divide by its standard deviation."
    warn_at_call(
        f"{kind.capitalize()} {first} of X has a mean of {mean[first]:.5g} and a standard "
        f"deviation of {spread[first]:.3g}{_and_others(hidden)}: the offset hides from the network "
        f"how it varies. {remedy}"
    )


def warn_about_uneven(size: np.ndarray, typical: float, kind: str) -> None:
    """Warn that one column or channel dominates the others; sizes are root mean squares."""
    largest = int(size.argmax())
    warn_at_call(
        f"The {kind}s of X vary on very uneven scales: {kind} {largest} has a root mean square "
        f"of {size[largest]:.3g}, and the median standard deviation of a {kind} is {typical:.3g} "
        f"({kind}s divided by powers of two). The network will learn little from the small ones. "
        f"{STANDARDISE}"
    )


def warn_about_dwarfed(column: Any, index: int, largest: float) -> None:
    """Warn that most entries of a column are tiny compared with its largest magnitude."""
    sizes = np.abs(column.data if sparse.issparse(column) else column)
    warn_at_call(
        f"Column {index} of X holds numbers up to {largest:.3g}, but half of its non-zero entries "
        f"are at most {np.median(sizes[sizes > 0]):.3g}: the network cannot tell those apart. Clip "
        "or leave out the outliers, or take logarithms."
    )


def _and_others(columns: np.ndarray) -> str:
    """Text in brackets that names or counts the columns after the first; '' if there are none."""
    named = ", ".join(str(column) for column in columns[1 : 1 + MOST_NAMED])
    n_others = columns.size - 1
    if n_others > MOST_NAMED:
        return f" (likewise {n_others} more, such as {named})"
    return f" (likewise {named})" if named else ""
