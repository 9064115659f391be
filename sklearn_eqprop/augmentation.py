"""Random changes of images, for the parameter `augment` of the estimators.

An augmentation is called with the rows of a minibatch, an ndarray of shape (n_rows, n_features),
and a RandomState. It returns new rows of the same shape and type. Rows are flattened images of
shape `input_shape`, as for `Conv2D`: (height, width) or (height, width, channels). In a pipeline,
rows are changed after the earlier steps, for example after a StandardScaler.
"""

import math
from collections.abc import Sequence
from dataclasses import KW_ONLY, dataclass
from numbers import Integral, Real
from typing import Protocol

import numpy as np

__all__ = ["Augmentation", "Compose", "Cutout", "RandomCrop", "RandomHorizontalFlip"]


class Augmentation(Protocol):
    """A function that changes rows at random: a value of the parameter `augment`."""

    def __call__(self, rows: np.ndarray, rng: np.random.RandomState) -> np.ndarray:
        """Return changed rows.

        Parameters
        ----------
        rows : ndarray of shape (n_rows, n_features)
            A copy of rows of X. The function may change it.
        rng : RandomState
            The only source of random numbers, so that fits can be repeated.

        Returns
        -------
        ndarray of shape (n_rows, n_features)
        """


@dataclass(frozen=True)
class RandomCrop:
    """Moves each image by up to `padding` pixels in both directions (He et al. 2016).

    It surrounds the image by `padding` pixels of value `fill`, and cuts out a window of the old
    size at a random place.

    Parameters
    ----------
    padding : int
        Pixels on each side, >= 1.
    fill : float, default=0.0
        Value of the new pixels.
    input_shape : tuple of int
        (height, width) or (height, width, channels) of the images.

    Raises
    ------
    ValueError
        If a parameter is out of range. When called: if the rows are not images of `input_shape`.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_eqprop.augmentation import RandomCrop
    >>> moved = RandomCrop(1, input_shape=(2, 2))
    >>> moved(np.array([[1.0, 2.0, 3.0, 4.0]]), np.random.RandomState(0))
    array([[0., 0., 1., 2.]])
    """

    padding: int
    fill: float = 0.0
    _: KW_ONLY
    input_shape: tuple[int, ...]

    def __post_init__(self) -> None:
        """Check the parameters."""
        _check_whole("padding", self.padding)
        _check_shape(self)

    def __call__(self, rows: np.ndarray, rng: np.random.RandomState) -> np.ndarray:
        """Return moved images."""
        images, padding = _images(rows, self.input_shape), self.padding
        n_images, height, width, n_channels = images.shape
        wide = (n_images, height + 2 * padding, width + 2 * padding, n_channels)
        padded = np.full(wide, self.fill, dtype=rows.dtype)
        padded[:, padding : padding + height, padding : padding + width] = images
        down, right = rng.randint(2 * padding + 1, size=(2, n_images))
        # Each line of a window is one piece of the flat array, so that it is copied in one go.
        lines = np.lib.stride_tricks.sliding_window_view(padded.reshape(-1), width * n_channels)
        numbers = np.arange(n_images) * wide[1] + down
        starts = (numbers[:, None] + np.arange(height)) * wide[2] + right[:, None]
        return lines[starts * n_channels].reshape(rows.shape)


@dataclass(frozen=True)
class RandomHorizontalFlip:
    """Flips each image with probability `p`, so that left and right change places.

    Parameters
    ----------
    p : float, default=0.5
        Probability that an image is flipped, in [0, 1].
    input_shape : tuple of int
        (height, width) or (height, width, channels) of the images.

    Raises
    ------
    ValueError
        If a parameter is out of range. When called: if the rows are not images of `input_shape`.
    """

    p: float = 0.5
    _: KW_ONLY
    input_shape: tuple[int, ...]

    def __post_init__(self) -> None:
        """Check the parameters."""
        if not isinstance(self.p, Real) or not 0 <= self.p <= 1:
            msg = f"p={self.p!r} is not a probability. Use a number from 0 to 1."
            raise ValueError(msg)
        _check_shape(self)

    def __call__(self, rows: np.ndarray, rng: np.random.RandomState) -> np.ndarray:
        """Return the images. Some of them are flipped."""
        images = _images(rows, self.input_shape).copy()
        flipped = np.flatnonzero(rng.random_sample(images.shape[0]) < self.p)
        _, height, width, n_channels = images.shape
        # Columns of lines are taken in another order: this is faster than a view that is reversed.
        order = np.arange(width * n_channels).reshape(width, n_channels)[::-1].ravel()
        lines = images.reshape(-1, height, width * n_channels)
        lines[flipped] = lines[flipped].take(order, axis=2)
        return images.reshape(rows.shape)


@dataclass(frozen=True)
class Cutout:
    """Hides a square at a random place of each image (DeVries & Taylor 2017, arXiv:1708.04552).

    The centre of the square can be any pixel. If it is near the border, a part of the square lies
    outside the image.

    Parameters
    ----------
    size : int
        Side of the square in pixels, >= 1.
    fill : float, default=0.0
        Value of the hidden pixels.
    input_shape : tuple of int
        (height, width) or (height, width, channels) of the images.

    Raises
    ------
    ValueError
        If a parameter is out of range. When called: if the rows are not images of `input_shape`.
    """

    size: int
    fill: float = 0.0
    _: KW_ONLY
    input_shape: tuple[int, ...]

    def __post_init__(self) -> None:
        """Check the parameters."""
        _check_whole("size", self.size)
        _check_shape(self)

    def __call__(self, rows: np.ndarray, rng: np.random.RandomState) -> np.ndarray:
        """Return images with a hidden square."""
        images = _images(rows, self.input_shape).copy()
        centers = rng.randint(images.shape[1:3], size=(images.shape[0], 2))
        for image, (y, x) in zip(images, centers, strict=True):
            top, left = y - self.size // 2, x - self.size // 2
            hidden = image[max(top, 0) : top + self.size, max(left, 0) : left + self.size]
            hidden[...] = self.fill
        return images.reshape(rows.shape)


@dataclass(frozen=True)
class Compose:
    """Applies several augmentations, one after the other.

    Parameters
    ----------
    transforms : sequence of callable
        Augmentations, or functions of rows and a RandomState. The first one is applied first.

    Examples
    --------
    >>> from sklearn_eqprop.augmentation import Compose, RandomCrop, RandomHorizontalFlip
    >>> shape = (32, 32, 3)
    >>> augment = Compose(
    ...     [RandomCrop(4, input_shape=shape), RandomHorizontalFlip(input_shape=shape)]
    ... )
    """

    transforms: Sequence[Augmentation]

    def __post_init__(self) -> None:
        """Turn a list into a tuple, which is hashable."""
        object.__setattr__(self, "transforms", tuple(self.transforms))

    def __call__(self, rows: np.ndarray, rng: np.random.RandomState) -> np.ndarray:
        """Return changed rows."""
        for transform in self.transforms:
            rows = transform(rows, rng)
        return rows


def _images(rows: np.ndarray, input_shape: tuple[int, ...]) -> np.ndarray:
    """Return rows as images of shape (n_rows, height, width, n_channels)."""
    height, width, n_channels = (*input_shape, 1)[:3]
    if rows.shape[1] != height * width * n_channels:
        msg = (
            f"input_shape={input_shape!r} of the augmentation has {math.prod(input_shape)} values, "
            f"but the rows have {rows.shape[1]} columns. Set it to the shape of the images."
        )
        raise ValueError(msg)
    return rows.reshape(-1, height, width, n_channels)


def _check_whole(name: str, value: int) -> None:
    if not isinstance(value, Integral) or isinstance(value, bool) or value < 1:
        msg = f"{name}={value!r} is not a number of pixels. Use a whole number of at least 1."
        raise ValueError(msg)


def _check_shape(augmentation: RandomCrop | RandomHorizontalFlip | Cutout) -> None:
    """Refuse a wrong shape; turn a list into a tuple, which is hashable."""
    given = augmentation.input_shape
    shape = tuple(given) if isinstance(given, Sequence) else ()
    if len(shape) not in (2, 3) or not all(isinstance(n, Integral) and n >= 1 for n in shape):
        msg = (
            f"input_shape={given!r} is not the shape of images. Use (height, width) or (height, "
            "width, channels)."
        )
        raise ValueError(msg)
    object.__setattr__(augmentation, "input_shape", shape)
