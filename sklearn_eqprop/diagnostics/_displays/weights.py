"""Pictures of the weights from the input."""

import math
from dataclasses import dataclass
from numbers import Integral
from typing import Any, Self

import numpy as np

from sklearn_eqprop._backend import ignoring_float_errors
from sklearn_eqprop.diagnostics._displays.base import Display
from sklearn_eqprop.diagnostics._subject import check_estimator


@dataclass(eq=False)
class WeightsDisplay(Display):
    """Weights from the input as images, one per hidden unit or per kernel.

    The units are those of the lowest layer that the input drives. All images share one colour
    scale, in which 0 is white.

    Parameters
    ----------
    images : ndarray of shape (n_units, height, width)
    """

    images: np.ndarray

    _size = (6.4, 6.0)

    @classmethod
    @ignoring_float_errors
    def from_estimator(
        cls,
        estimator: Any,
        *,
        image_shape: tuple[int, int] | None = None,
        n_units: int = 36,
        ax: Any = None,
    ) -> Self:
        """Draw weights of a fitted estimator.

        Parameters
        ----------
        estimator : EqPropClassifier or EqPropRegressor
        image_shape : (int, int), default=None
            Height and width of the images in the rows of X. None: the first two entries of
            `input_shape`, or else a square. A convolution needs no shape: the first channels of
            its kernels are drawn.
        n_units : int, default=36
            Maximum number of units. Those with the largest weights (Euclidean norm) are drawn.
        ax : matplotlib Axes, default=None
            Axes to draw in. None: a new figure.

        Returns
        -------
        WeightsDisplay

        Raises
        ------
        ValueError
            If the inputs do not have the size of an image of that shape.
        """
        check_estimator(cls.__name__, estimator)
        reads_input = [source == 0 for source, _ in estimator.connections_]
        weights = estimator.coefs_[reads_input.index(True)]
        if weights.ndim == 4:
            images = np.moveaxis(weights[:, :, 0], -1, 0)
        else:
            shape = _image_shape(image_shape, estimator.input_shape, weights.shape[0])
            images = weights.T.reshape(-1, *shape)
        largest = np.argsort(-np.linalg.norm(images, axis=(1, 2)), kind="stable")[:n_units]
        return cls(images[largest]).plot(ax)

    def _draw(self, ax: Any) -> None:
        limit = float(np.abs(self.images).max()) or 1.0
        drawn = ax.imshow(_side_by_side(self.images), cmap="RdBu_r", vmin=-limit, vmax=limit)
        self.figure_.colorbar(drawn, ax=ax, label="weight", shrink=0.8)
        ax.set(xticks=[], yticks=[])
        ax.spines[:].set_visible(False)


def _image_shape(asked: Any, input_shape: Any, n_features: int) -> tuple[int, int]:
    if asked is not None:
        if np.shape(asked) != (2,) or not all(isinstance(side, Integral) for side in asked):
            msg = f"image_shape={asked!r} must be two integers. Pass (height, width)."
            raise ValueError(msg)
        height, width = asked
    elif input_shape is not None and math.prod(input_shape[:2]) == n_features:
        height, width = input_shape[:2]
    else:
        height = width = math.isqrt(n_features)
    if height * width != n_features:
        image = "a square image" if asked is None else f"an image of image_shape={tuple(asked)}"
        msg = (
            f"The {n_features} inputs of the network do not form {image}. Pass "
            "image_shape=(height, width) of the images."
        )
        raise ValueError(msg)
    return int(height), int(width)


def _side_by_side(images: np.ndarray) -> np.ndarray:
    """All images in one, separated by NaN, which stays blank."""
    n_images, height, width = images.shape
    n_columns = math.ceil(math.sqrt(n_images))
    n_rows = math.ceil(n_images / n_columns)
    whole = np.full((n_rows * (height + 1) - 1, n_columns * (width + 1) - 1), np.nan)
    for number, image in enumerate(images):
        top, left = (number // n_columns) * (height + 1), (number % n_columns) * (width + 1)
        whole[top : top + height, left : left + width] = image
    return whole
