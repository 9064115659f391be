"""The `hidden_layer_sizes` and `input_shape` parameters: from what they say to a layout."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence, Set
from numbers import Integral
from typing import Any

import numpy as np

from sklearn_eqprop._network import Conv2D, Layout, Wiring, layout_of
from sklearn_eqprop._sklearn_compat import InvalidParameterError


def hidden_layers(hidden_layer_sizes: Any) -> tuple[int | Conv2D, ...]:
    """Units, or the convolution, of each hidden layer.

    Raises
    ------
    InvalidParameterError
        If an entry is neither a positive integer nor a `Conv2D`.
    """
    if isinstance(hidden_layer_sizes, (Set, Mapping)):
        msg = (
            "The 'hidden_layer_sizes' parameter must be a positive integer or a sequence of "
            f"positive integers, one a hidden layer. Got {hidden_layer_sizes!r}, whose entries "
            "have no order; use a tuple."
        )
        raise InvalidParameterError(msg)
    is_single = isinstance(hidden_layer_sizes, Conv2D) or not isinstance(
        hidden_layer_sizes, Iterable
    )
    is_single |= getattr(hidden_layer_sizes, "ndim", 1) == 0  # an array that is one number
    entries = [hidden_layer_sizes] if is_single else list(hidden_layer_sizes)
    for entry in entries:
        if isinstance(entry, Conv2D):
            continue
        if not _is_positive_integer(entry):
            msg = (
                "The 'hidden_layer_sizes' parameter must be a positive integer or a sequence of "
                "positive integers, one a hidden layer, or Conv2D(...) for a convolutional one. "
                f"Got {hidden_layer_sizes!r}, in which {entry!r} is not a positive integer."
            )
            raise InvalidParameterError(msg)
    return tuple(entry if isinstance(entry, Conv2D) else int(entry) for entry in entries)


def requested_layout(
    hidden: Sequence[int | Conv2D],
    input_shape: Any,
    wiring: Wiring,
    *,
    n_features: int,
    n_outputs: int,
) -> Layout:
    """Layout that the estimator's parameters ask for.

    Parameters
    ----------
    hidden : sequence of int or Conv2D
    input_shape : tuple of int or None
        The estimator's parameter.
    wiring : Wiring
    n_features, n_outputs : int

    Returns
    -------
    Layout

    Raises
    ------
    InvalidParameterError
        If `input_shape` is not the shape of an image, or of one with another number of values
        than X has columns, or is missing where a layer is convolutional.
    ValueError
        If a convolution does not fit what it reads.
    """
    shape = _image_shape(input_shape, n_features)
    if not any(isinstance(entry, Conv2D) for entry in hidden):
        # Dense layers read any input as a row: a search may hold input_shape fixed.
        return layout_of(wiring, (n_features,), hidden, n_outputs)
    if shape is None:
        raise _wrong_shape(
            input_shape,
            f"hidden_layer_sizes={tuple(hidden)!r} has convolutional layers, which need to know "
            f"how the {n_features} columns of X make up an image",
        )
    try:
        return layout_of(wiring, shape, hidden, n_outputs)
    except ValueError as error:
        msg = f"hidden_layer_sizes={tuple(hidden)!r} with input_shape={input_shape!r}: {error}"
        raise ValueError(msg) from None


def _image_shape(input_shape: Any, n_features: int) -> tuple[int, int, int] | None:
    """Height, width and channels; None where no shape is given."""
    if input_shape is None:
        return None
    entries = list(input_shape)
    if len(entries) not in (2, 3) or not all(_is_positive_integer(entry) for entry in entries):
        raise _wrong_shape(input_shape, "these are not two or three positive integers")
    height, width, channels = (int(entry) for entry in (*entries, 1)[:3])
    if height * width * channels != n_features:
        raise _wrong_shape(
            input_shape,
            f"an image of that shape has {math.prod(entries)} values, but X has {n_features} "
            "columns",
        )
    return height, width, channels


def _is_positive_integer(entry: Any) -> bool:
    is_integer = isinstance(entry, Integral) and not isinstance(entry, (bool, np.bool_))
    return is_integer and int(entry) >= 1


def _wrong_shape(input_shape: Any, what: str) -> InvalidParameterError:
    return InvalidParameterError(
        "The 'input_shape' parameter must be None or (height, width) or (height, width, channels) "
        f"of the images that the rows of X are, flattened in this order. Got {input_shape!r}: "
        f"{what}."
    )
