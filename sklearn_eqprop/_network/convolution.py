"""Convolutions as connections, computed by matrix products in blocks of samples.

A product with the matrix of all patches (im2col) is one call of the BLAS. This matrix is kernel
height x kernel width times larger than the input. So it is made for a few samples at a time: it
stays in the cache, and memory stays bounded. The reverse direction is a few products with pieces
of the kernel, each added where that piece reads (benchmarks/conv_speed.py has the alternatives).
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

from scipy import sparse

from sklearn_eqprop._backend.array_backend import Array, ArrayBackend
from sklearn_eqprop._backend.host import CACHE_NUMBERS, batches
from sklearn_eqprop._network.conv2d import ConvGeometry

#: Numbers in the patches of one block on a device, where large products are faster. On the host a
#: block stays in the cache.
DEVICE_NUMBERS = 2**26
#: In the reverse direction there are no patches, so that a block has more samples by this factor.
TRANSPOSED_ROWS = 4


class Convolution:
    """A convolution, with average pooling or none: linear in what it reads.

    The average of a convolution over windows is a convolution with a wider kernel and a longer
    stride, and is computed as that.

    Parameters
    ----------
    source, target : int
        Layer numbers; 0 is the input.
    weights : array of shape (kernel height, kernel width, channels, filters)
        The array itself is used, not a copy.
    geometry : ConvGeometry
    backend : ArrayBackend
    """

    gain = 1.0

    def __init__(
        self,
        source: int,
        target: int,
        weights: Array,
        geometry: ConvGeometry,
        backend: ArrayBackend,
    ) -> None:
        self.source = source
        self.target = target
        self.weights = weights
        self.geometry = geometry
        self.backend = backend
        self.n_source = math.prod(geometry.in_shape)
        self.n_target = math.prod(geometry.out_shape)
        self.n_uses = geometry.out_shape[0] * geometry.out_shape[1]
        self._averages = geometry.pool > 1 and not geometry.picks_winners
        self._patches = Patches(geometry.averaged() if self._averages else geometry, backend)

    @property
    def pool(self) -> Any:
        return None

    @property
    def envelope(self) -> Convolution:
        return self

    def apply(self, pre: Array) -> Array:
        maps, out = self._maps_in(pre), self._empty(pre.shape[0], self.geometry.out_shape)
        for rows, convolved in self._patches.convolve(maps, self._kernel()):
            out[rows] = convolved[0]
        return out.reshape(-1, self.n_target)

    def apply_transposed(self, post: Array) -> Array:
        out = self._empty(post.shape[0], self.geometry.in_shape)
        pieces = self._patches.pieces(self._kernel())
        for rows, members in self._members_of(post, back=True):
            self._patches.spread(members, pieces, out[rows])
        return out.reshape(-1, self.n_source)

    def local_change(self, pre: Array, delta: Array) -> Array:
        return self._gathered(self._wide_change(pre, delta))

    def weighted_change(self, pre: Array, delta: Array) -> Array:
        change = self._wide_change(pre, delta)
        change *= self._kernel()
        return self._gathered(change)

    def reach(self, pre: Array) -> Array:
        """``||pre||²`` times the positions of the kernel.

        Each position of the kernel reads a unit at most once, so this bounds the effect on one
        channel.
        """
        height, width = self.geometry.kernel
        return (height * width) * (pre * pre).sum(axis=1)

    def mirror(self, array: Array) -> Array:
        """The array itself: feedback has kernels of the forward shape."""
        return array

    def _maps_in(self, pre: Array) -> Array:
        if sparse.issparse(pre):  # patches overlap, so that a sparse product saves nothing
            pre = pre.toarray()
        xp = self.backend.xp
        return xp.ascontiguousarray(pre).reshape(-1, *self.geometry.in_shape)

    def _empty(self, n_samples: int, shape: tuple[int, ...]) -> Array:
        return self.backend.xp.empty((n_samples, *shape), dtype=self.weights.dtype)

    def _members_of(self, post: Array, *, back: bool) -> Iterator[tuple[slice, Array]]:
        """Arrays of the target layer for each member of a window, block by block.

        Their shape is (members, n, height, width, filters), as `Patches.gradient` needs it. With
        `back` the members are beside the filters, as `Patches.spread` needs it.
        """
        maps = post.reshape(-1, *self.geometry.out_shape)
        for rows in self._patches.blocks(maps.shape[0], back=back):
            yield rows, maps[rows][None]

    def _wide_change(self, pre: Array, delta: Array) -> Array:
        """Σ over samples and places of pre ⊗ delta, in the shape of `_kernel`."""
        deltas = (block for _, block in self._members_of(delta, back=False))
        return self._patches.gradient(self._maps_in(pre), deltas, self.weights.dtype)

    def _kernel(self) -> Array:
        """The weights, or the wider kernel that also averages over windows."""
        if not self._averages:
            return self.weights
        wide = self.backend.xp.zeros(self._patches.geometry.weight_shape, self.weights.dtype)
        share = self.weights * (1 / self.geometry.pool**2)
        for view in self._shifted(wide):
            view += share
        return wide

    def _gathered(self, wide: Array) -> Array:
        """The transpose of `_kernel`, from the wider kernel to the weights."""
        if not self._averages:
            return wide
        change: Array = sum(self._shifted(wide))
        change *= 1 / self.geometry.pool**2
        return change

    def _shifted(self, wide: Array) -> Iterator[Array]:
        """Views of the wider kernel in the shape of the weights, one per member of a window."""
        (height, width), (down, across) = self.geometry.kernel, self.geometry.stride
        for i in range(self.geometry.pool):
            for j in range(self.geometry.pool):
                yield wide[down * i : down * i + height, across * j : across * j + width]


class Patches:
    """The patches that a convolution reads, and products with them.

    Maps are contiguous arrays (n_samples, height, width, channels). The places of a convolution
    that is pooled by the maximum are sorted by their position in the window: first the first
    member of every window, then the second one. So the members can be compared in long runs of
    memory. Without such pooling a window has one member.

    Parameters
    ----------
    geometry : ConvGeometry
    backend : ArrayBackend
    """

    def __init__(self, geometry: ConvGeometry, backend: ArrayBackend) -> None:
        self.geometry = geometry
        self._backend = backend
        kernel_height, kernel_width = geometry.kernel
        self._side = geometry.pool if geometry.picks_winners else 1
        rows, columns, self._filters = geometry.conv_shape
        self._windows = rows // self._side, columns // self._side
        self.patch_size = kernel_height * kernel_width * geometry.in_shape[2]
        self.n_positions = self._side**2 * self._windows[0] * self._windows[1]
        numbers = DEVICE_NUMBERS if backend.is_device else CACHE_NUMBERS
        self._block_rows = max(1, numbers // (self.n_positions * self.patch_size))

    def blocks(self, n_samples: int, *, back: bool = False) -> Iterator[slice]:
        """Slices of the samples that are computed together, more of them on the way back."""
        return batches(n_samples, self._block_rows * (TRANSPOSED_ROWS if back else 1))

    def convolve(self, maps: Array, kernel: Array) -> Iterator[tuple[slice, Array]]:
        """Yield each block of samples, and its convolution (members, n, height, width, filters).

        The maps have the shape (n_samples, *in_shape). The convolution is overwritten for the next
        block.
        """
        xp = self._backend.xp
        matrix = kernel.reshape(self.patch_size, -1)
        most = min(self._block_rows, maps.shape[0])
        out = xp.empty((most * self.n_positions, self._filters), dtype=kernel.dtype)
        for rows, patches in self._of_blocks(maps):
            part = out[: patches.shape[0]]
            xp.matmul(patches, matrix, out=part)
            yield rows, part.reshape(self._side**2, -1, *self._windows, self._filters)

    def gradient(self, maps: Array, deltas: Iterator[Array], dtype: object) -> Array:
        """Σ over samples and positions of patch ⊗ delta, in the shape of the kernel.

        Parameters
        ----------
        maps : array of shape (n_samples, *in_shape)
        deltas : iterator of array of shape (members, n, height, width, filters)
            One for each of `blocks`.
        dtype : dtype
        """
        total = self._backend.xp.zeros((self.patch_size, self._filters), dtype=dtype)
        for (_, patches), delta in zip(self._of_blocks(maps), deltas, strict=True):
            total += patches.T @ delta.reshape(-1, self._filters)
        return total.reshape(self.geometry.weight_shape)

    def pieces(self, kernel: Array) -> list[tuple[slice, slice, list[int], list[int], Array]]:
        """The transposed kernel in the pieces that `spread` needs.

        Several members of a window can lead back to one place, each through another position of the
        kernel. Places to which the same members lead make one piece. So one product sums over these
        members, and is wide enough for the BLAS.

        Returns
        -------
        list of (members, members, places, places, matrix)
            The members by row and by column, the places relative to the window by row and by
            column, and the matrix (members · filters, places · channels).
        """
        (height, width), (down, across) = self.geometry.kernel, self.geometry.stride
        found = []
        for rows, in_rows, at_rows in _leading_back(self._side, height, down):
            for columns, in_columns, at_columns in _leading_back(self._side, width, across):
                # (place, member, place, member, channels, filters)
                own = kernel[at_rows][:, :, at_columns].transpose(1, 3, 5, 0, 2, 4)
                matrix = own.reshape(-1, len(in_rows) * len(in_columns) * kernel.shape[2])
                found.append((rows, columns, in_rows, in_columns, matrix))
        return found

    def spread(self, members: Array, pieces: list[Any], out: Array) -> None:
        """The transpose of `convolve` for one block of samples.

        Parameters
        ----------
        members : array of shape (n, height, width, members, filters)
        pieces : list
            See `pieces`.
        out : array of shape (n, *in_shape)
            Overwritten.
        """
        geometry, xp, side = self.geometry, self._backend.xp, self._side
        height, width, channels = geometry.in_shape
        n_rows, n_columns = self._windows
        down, across = geometry.stride[0] * side, geometry.stride[1] * side
        bottom, right = self._padded_extent()
        padded = (bottom, right) != (height, width)
        whole = xp.zeros((out.shape[0], bottom, right, channels), out.dtype) if padded else out
        if not padded:
            out[...] = 0
        n_windows = out.shape[0] * n_rows * n_columns
        members = members.reshape(n_windows, side, side, self._filters)
        for rows, columns, in_rows, in_columns, matrix in pieces:
            part = members[:, rows, columns].reshape(n_windows, -1) @ matrix
            shape = (-1, n_rows, n_columns, len(in_rows), len(in_columns), channels)
            part = part.reshape(shape)
            for u, i in enumerate(in_rows):
                for v, j in enumerate(in_columns):
                    at = (
                        slice(i, i + down * n_rows, down),
                        slice(j, j + across * n_columns, across),
                    )
                    whole[:, at[0], at[1]] += part[:, :, :, u, v]
        if padded:
            top, left = geometry.pad_top, geometry.pad_left
            out[...] = whole[:, top : top + height, left : left + width]

    def _padded_extent(self) -> tuple[int, int]:
        """Height and width that hold the padded input and every patch."""
        geometry = self.geometry
        extents = []
        for axis, pad in enumerate((geometry.pad_top, geometry.pad_left)):
            steps = geometry.stride[axis] * (geometry.conv_shape[axis] - 1)
            # The strided slices in `spread` extend to the end of the last step.
            reach = steps + geometry.kernel[axis]
            extents.append(max(pad + geometry.in_shape[axis], reach))
        return extents[0], extents[1]

    def _of_blocks(self, maps: Array) -> Iterator[tuple[slice, Array]]:
        """The matrix of patches of each block, (n · positions, patch size); a reused buffer."""
        geometry, xp, side = self.geometry, self._backend.xp, self._side
        (height, width, channels), (kernel_height, kernel_width) = (
            geometry.in_shape,
            geometry.kernel,
        )
        top, left = geometry.pad_top, geometry.pad_left
        bottom, right = self._padded_extent()
        most = min(self._block_rows, maps.shape[0])
        buffer = xp.empty(most * self.n_positions * self.patch_size, dtype=maps.dtype)
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
            down, across = geometry.stride[0] * row, geometry.stride[1] * column
            shape = (side, side, n, *self._windows, kernel_height, kernel_width * channels)
            windows = xp.lib.stride_tricks.as_strided(
                block, shape, (down, across, sample, side * down, side * across, row, channel)
            )
            patches = buffer[: n * self.n_positions * self.patch_size]
            patches.reshape(shape)[...] = windows
            yield rows, patches.reshape(n * self.n_positions, self.patch_size)


def _leading_back(
    side: int, extent: int, step: int
) -> list[tuple[slice, list[int], list[list[int]]]]:
    """Along one axis: members of a window, and all places that the kernels of just these read.

    Returns
    -------
    list of (members, places, positions)
        A slice of the members, the places relative to the window, and the position in the kernel
        that joins each place with each member.
    """
    groups: dict[tuple[int, ...], list[int]] = {}
    for place in range(step * (side - 1) + extent):
        members = tuple(i for i in range(side) if 0 <= place - step * i < extent)
        groups.setdefault(members, []).append(place)
    groups.pop((), None)  # places between the kernels of a long stride
    return [
        (
            slice(members[0], members[-1] + 1),
            places,
            [[place - step * member for member in members] for place in places],
        )
        for members, places in groups.items()
    ]
