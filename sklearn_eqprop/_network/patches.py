"""Convolutions as matrix products, in blocks of samples that fit the cache.

A product with the matrix of all patches (im2col) is one call of the BLAS. The matrix is kernel
height x kernel width times larger than the input, so it is made for a few samples at a time: it
never leaves the cache, and memory stays bounded. Back goes one product a position of the
kernel, each added where that position looks (benchmarks/conv_speed.py has the alternatives).
"""

from __future__ import annotations

import math
from collections.abc import Iterator

from sklearn_eqprop._backend.array_backend import Array, ArrayBackend
from sklearn_eqprop._network.conv2d import ConvGeometry

#: Numbers in the patches of one block: a megabyte of float32, about what a core's cache holds.
CACHE_NUMBERS = 2**18
#: The same on a device, where large products pay and caches are not ours to manage.
DEVICE_NUMBERS = 2**26


class Patches:
    """The patches that a convolution without pooling reads, and products with them.

    Maps are arrays (n_samples, height, width, channels), contiguous.

    Parameters
    ----------
    geometry : ConvGeometry
        Its pooling is passed over.
    backend : ArrayBackend
    """

    def __init__(self, geometry: ConvGeometry, backend: ArrayBackend) -> None:
        self.geometry = geometry
        self._backend = backend
        kernel_height, kernel_width = geometry.kernel
        self.patch_size = kernel_height * kernel_width * geometry.in_shape[2]
        self.n_positions = geometry.conv_shape[0] * geometry.conv_shape[1]
        numbers = DEVICE_NUMBERS if backend.is_device else CACHE_NUMBERS
        self._block_rows = max(1, numbers // (self.n_positions * self.patch_size))

    def blocks(self, n_samples: int) -> Iterator[slice]:
        """Slices of as many samples as are worked on at a time."""
        for start in range(0, n_samples, self._block_rows):
            yield slice(start, min(start + self._block_rows, n_samples))

    def convolve(self, maps: Array, kernel: Array) -> Iterator[tuple[slice, Array]]:
        """Convolution of each block of samples, (n, height, width, filters).

        Parameters
        ----------
        maps : array of shape (n_samples, *in_shape)
        kernel : array of shape (kernel height, kernel width, channels, filters)

        Yields
        ------
        rows, convolved : slice, array
            The array is worked in again for the next block.
        """
        xp, shape = self._backend.xp, self.geometry.conv_shape
        matrix = kernel.reshape(self.patch_size, -1)
        most = min(self._block_rows, maps.shape[0])
        out = xp.empty((most * self.n_positions, shape[2]), dtype=kernel.dtype)
        for rows, patches in self._of_blocks(maps):
            part = out[: patches.shape[0]]
            xp.matmul(patches, matrix, out=part)
            yield rows, part.reshape(-1, *shape)

    def gradient(self, maps: Array, deltas: Iterator[Array], dtype: object) -> Array:
        """Σ over samples and positions of patch ⊗ delta, in the shape of the kernel.

        Parameters
        ----------
        maps : array of shape (n_samples, *in_shape)
        deltas : iterator of array of shape (n, *conv_shape)
            One for each of `blocks`.
        dtype : dtype
        """
        filters = self.geometry.conv_shape[2]
        total = self._backend.xp.zeros((self.patch_size, filters), dtype=dtype)
        for (_, patches), delta in zip(self._of_blocks(maps), deltas, strict=True):
            total += patches.T @ delta.reshape(-1, filters)
        return total.reshape(self.geometry.weight_shape)

    def spread(self, convolved: Array, kernel: Array, out: Array) -> None:
        """The transpose of `convolve`: what comes back to the input of one block of samples.

        Parameters
        ----------
        convolved : array of shape (n, *conv_shape)
        kernel : array of shape (kernel height, kernel width, channels, filters)
        out : array of shape (n, *in_shape)
            Overwritten.
        """
        geometry, xp = self.geometry, self._backend.xp
        (height, width, channels), (down, across) = geometry.in_shape, geometry.stride
        n_rows, n_columns, filters = geometry.conv_shape
        bottom, right = self._padded_extent()
        padded = (bottom, right) != (height, width)
        whole = xp.zeros((out.shape[0], bottom, right, channels), out.dtype) if padded else out
        if not padded:
            out[...] = 0
        flat = convolved.reshape(-1, filters)
        for i in range(geometry.kernel[0]):
            for j in range(geometry.kernel[1]):
                part = (flat @ kernel[i, j].T).reshape(-1, n_rows, n_columns, channels)
                whole[:, i : i + down * n_rows : down, j : j + across * n_columns : across] += part
        if padded:
            top, left = geometry.pad_top, geometry.pad_left
            out[...] = whole[:, top : top + height, left : left + width]

    def _padded_extent(self) -> tuple[int, int]:
        """Height and width that hold the padded input and every patch."""
        geometry = self.geometry
        extents = []
        for axis, pad in enumerate((geometry.pad_top, geometry.pad_left)):
            steps = geometry.stride[axis] * (geometry.conv_shape[axis] - 1)
            # Slices of a strided sum reach to the end of the last step.
            reach = steps + geometry.kernel[axis]
            extents.append(max(pad + geometry.in_shape[axis], reach))
        return extents[0], extents[1]

    def _of_blocks(self, maps: Array) -> Iterator[tuple[slice, Array]]:
        """The matrix of patches of each block, (n · positions, patch size); worked in again."""
        geometry, xp = self.geometry, self._backend.xp
        (height, width, channels), (kernel_height, kernel_width) = (
            geometry.in_shape,
            geometry.kernel,
        )
        top, left = geometry.pad_top, geometry.pad_left
        bottom, right = self._padded_extent()
        most = min(self._block_rows, maps.shape[0])
        n_rows, n_columns, _ = geometry.conv_shape
        shape = (n_rows, n_columns, kernel_height, kernel_width * channels)
        buffer = xp.empty((most, *shape), dtype=maps.dtype)
        padded = None
        if (bottom, right) != (height, width):
            padded = xp.zeros((most, bottom, right, channels), dtype=maps.dtype)
        for rows in self.blocks(maps.shape[0]):
            block = maps[rows]
            n = block.shape[0]
            if padded is not None:
                padded[:n, top : top + height, left : left + width] = block
                block = padded[:n]
            sample, row, column, channel = block.strides
            down, across = geometry.stride
            windows = xp.lib.stride_tricks.as_strided(
                block,
                (n, *shape),
                (sample, down * row, across * column, row, channel),
            )
            buffer[:n] = windows
            yield rows, buffer[:n].reshape(n * self.n_positions, self.patch_size)


def numbers_in(shape: tuple[int, ...]) -> int:
    """Units of a layer of this shape."""
    return math.prod(shape)
