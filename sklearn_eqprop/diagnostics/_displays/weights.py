"""Weights from the input as images: what each hidden unit looks for."""

from __future__ import annotations

import math
from numbers import Integral
from typing import Any

import numpy as np

from sklearn_eqprop.diagnostics._displays.base import Display
from sklearn_eqprop.diagnostics._subject import check_is_ours


class WeightsDisplay(Display):
    """One image a hidden unit, or a kernel: its weights from the input, side by side.

    The units are those of layer 1, or of the lowest layer that the input drives. All images share
    one scale of colours, with white at 0.

    Parameters
    ----------
    images : ndarray of shape (n_units, height, width)

    Attributes
    ----------
    ax_, figure_ : matplotlib Axes and Figure
        Where it was drawn; set by `plot`.
    """

    def __init__(self, images: np.ndarray) -> None:
        self.images = images

    @classmethod
    def from_estimator(
        cls,
        estimator: Any,
        *,
        image_shape: tuple[int, int] | None = None,
        n_units: int = 36,
        ax: Any = None,
    ) -> WeightsDisplay:
        """Draw weights of a fitted estimator.

        Parameters
        ----------
        estimator : EqPropClassifier or EqPropRegressor
        image_shape : (int, int), default=None
            Height and width of the images that the rows of X are. None: the first two entries of
            `input_shape`, else a square. Of a convolution its kernels are drawn, first channel.
        n_units : int, default=36
            Units to draw, those with the largest weights (Euclidean norm) first.
        ax : matplotlib Axes, default=None
            None: a figure of its own.

        Returns
        -------
        WeightsDisplay

        Raises
        ------
        ValueError
            If the inputs do not make an image of that shape.
        """
        check_is_ours(cls.__name__, estimator)
        reads_input = [source == 0 for source, _ in estimator.connections_]
        weights = estimator.coefs_[reads_input.index(True)]
        if weights.ndim == 4:
            images = np.moveaxis(weights[:, :, 0], -1, 0)
        else:
            shape = _image_shape(image_shape, estimator.input_shape, weights.shape[0])
            images = weights.T.reshape(-1, *shape)
        largest = np.argsort(-np.linalg.norm(images, axis=(1, 2)), kind="stable")[:n_units]
        return cls(images[largest]).plot(ax)

    def plot(self, ax: Any = None) -> WeightsDisplay:
        """Draw.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            None: a figure of its own.

        Returns
        -------
        WeightsDisplay
            Itself.
        """
        ax = self._axes(ax, (6.4, 6.0))
        limit = float(np.abs(self.images).max()) or 1.0
        drawn = ax.imshow(_side_by_side(self.images), cmap="RdBu_r", vmin=-limit, vmax=limit)
        self.figure_.colorbar(drawn, ax=ax, label="weight", shrink=0.8)
        ax.set(xticks=[], yticks=[])
        ax.spines[:].set_visible(False)
        return self


def _image_shape(asked: Any, input_shape: Any, n_features: int) -> tuple[int, int]:
    if asked is None and input_shape is not None and math.prod(input_shape) == n_features:
        height, width = input_shape[:2]
        if height * width == n_features:
            asked = height, width
    if asked is None:
        side = math.isqrt(n_features)
        height, width = side, side
        wrong = "are no square image"
    else:
        if np.shape(asked) != (2,) or not all(isinstance(side, Integral) for side in asked):
            msg = f"image_shape={asked!r} must be two integers, (height, width)."
            raise ValueError(msg)
        height, width = asked
        wrong = f"are no image of image_shape={tuple(asked)}"
    if height * width != n_features:
        msg = (
            f"The {n_features} inputs of the network {wrong}: pass image_shape=(height, width) of "
            "the images."
        )
        raise ValueError(msg)
    return int(height), int(width)


def _side_by_side(images: np.ndarray) -> np.ndarray:
    """One large image of all, with a border of NaN, which stays blank, between them."""
    n_images, height, width = images.shape
    n_columns = math.ceil(math.sqrt(n_images))
    n_rows = math.ceil(n_images / n_columns)
    whole = np.full((n_rows * (height + 1) - 1, n_columns * (width + 1) - 1), np.nan)
    for number, image in enumerate(images):
        top, left = (number // n_columns) * (height + 1), (number % n_columns) * (width + 1)
        whole[top : top + height, left : left + width] = image
    return whole
