"""Convolutions as connections: linear ones, those pooled by the maximum, and their reverse."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from scipy import sparse

from sklearn_eqprop._backend.array_backend import Array, ArrayBackend
from sklearn_eqprop._network.conv2d import ConvGeometry
from sklearn_eqprop._network.patches import Patches, numbers_in
from sklearn_eqprop._network.pooling import (
    give_to_winners,
    pick_winners,
    pool_maximum,
    winner_type,
)


class Convolution:
    """A convolution, with average pooling or none: linear in what it reads.

    The average over windows of a convolution is a convolution by a wider kernel with a longer
    stride, and is worked out as that.

    Parameters
    ----------
    source, target : int
        Layer numbers; 0 is the input.
    weights : array of shape (kernel height, kernel width, channels, filters)
        Used as it is, never copied.
    geometry : ConvGeometry
    backend : ArrayBackend
    """

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
        self.n_source = numbers_in(geometry.in_shape)
        self.n_target = numbers_in(geometry.out_shape)
        self.n_uses = geometry.out_shape[0] * geometry.out_shape[1]
        self._averages = geometry.pool > 1 and not geometry.picks_winners
        self._patches = Patches(geometry.averaged() if self._averages else geometry, backend)

    @property
    def pool(self) -> PooledConvolution | None:
        """See `Connection.pool`."""
        return None

    @property
    def envelope(self) -> Convolution:
        """See `Connection.envelope`."""
        return self

    def apply(self, pre: Array) -> Array:
        """See `Connection.apply`."""
        maps, out = self._maps_in(pre), self._empty(pre.shape[0], self.geometry.out_shape)
        for rows, convolved in self._patches.convolve(maps, self._kernel()):
            out[rows] = convolved
        return out.reshape(-1, self.n_target)

    def apply_transposed(self, post: Array) -> Array:
        """See `Connection.apply_transposed`."""
        out = self._empty(post.shape[0], self.geometry.in_shape)
        kernel = self._kernel()
        for rows, deltas in self._blocks_out(post):
            self._patches.spread(deltas, kernel, out[rows])
        return out.reshape(-1, self.n_source)

    def local_change(self, pre: Array, delta: Array) -> Array:
        """See `Connection.local_change`; the sum over all places a weight is used in."""
        deltas = (block for _, block in self._blocks_out(delta))
        change = self._patches.gradient(self._maps_in(pre), deltas, self.weights.dtype)
        return self._gathered(change) if self._averages else change

    def reach(self, pre: Array) -> Array:
        """See `Connection.reach`; a unit is seen through each position of the kernel at most once.

        So what moves one map moves by at most ||pre||² times as many as the kernel has.
        """
        height, width = self.geometry.kernel
        return (height * width) * (pre * pre).sum(axis=1)

    def mirror(self, array: Array) -> Array:
        """See `Connection.mirror`; feedback has kernels of the forward shape."""
        return array

    def _maps_in(self, pre: Array) -> Array:
        if sparse.issparse(pre):  # patches overlap: there is no product to be saved
            pre = pre.toarray()
        xp = self.backend.xp
        return xp.ascontiguousarray(pre).reshape(-1, *self.geometry.in_shape)

    def _empty(self, n_samples: int, shape: tuple[int, ...]) -> Array:
        return self.backend.xp.empty((n_samples, *shape), dtype=self.weights.dtype)

    def _blocks_out(self, post: Array) -> Iterator[tuple[slice, Array]]:
        """What is at the convolution's end, as the patches take it, block by block."""
        maps = post.reshape(-1, *self.geometry.out_shape)
        for rows in self._patches.blocks(maps.shape[0]):
            yield rows, maps[rows]

    def _kernel(self) -> Array:
        """The weights, or the wider kernel that averages over windows too."""
        if not self._averages:
            return self.weights
        wide = self.backend.xp.zeros(self._patches.geometry.weight_shape, self.weights.dtype)
        share = self.weights * (1 / self.geometry.pool**2)
        for view in self._shifted(wide):
            view += share
        return wide

    def _gathered(self, wide: Array) -> Array:
        """The transpose of `_kernel`: from the wider kernel to the weights."""
        change: Array = sum(self._shifted(wide))
        change *= 1 / self.geometry.pool**2
        return change

    def _shifted(self, wide: Array) -> Iterator[Array]:
        """Where the weights are in the wider kernel, for each member of a window."""
        (height, width), (down, across) = self.geometry.kernel, self.geometry.stride
        for i in range(self.geometry.pool):
            for j in range(self.geometry.pool):
                yield wide[down * i : down * i + height, across * j : across * j + width]


class PooledConvolution(Convolution):
    """A convolution pooled by the maximum over windows.

    What it reads decides which member of each window wins; with winners held, it is linear.

    Parameters
    ----------
    source, target, weights, geometry, backend : see `Convolution`
    winners : array of shape (n_samples, height, width, filters) or None, default=None
        Winners of each sample. None: `apply` goes by what it is given.
    """

    def __init__(
        self,
        source: int,
        target: int,
        weights: Array,
        geometry: ConvGeometry,
        backend: ArrayBackend,
        winners: Array | None = None,
    ) -> None:
        super().__init__(source, target, weights, geometry, backend)
        self.winners = winners

    @property
    def pool(self) -> PooledConvolution:
        """See `Connection.pool`."""
        return self

    @property
    def envelope(self) -> Convolution:
        """See `Connection.envelope`; picking winners makes no vector longer."""
        unpooled = self.geometry.unpooled()
        return Convolution(self.source, self.target, self.weights, unpooled, self.backend)

    def holding(self, winners: Array) -> PooledConvolution:
        """The same weights with these winners."""
        return PooledConvolution(
            self.source, self.target, self.weights, self.geometry, self.backend, winners
        )

    def decide(self, pre: Array) -> tuple[Array, Array]:
        """What `apply` gives without winners, and the winners it went by."""
        xp, side, shape = self.backend.xp, self.geometry.pool, self.geometry.out_shape
        out = self._empty(pre.shape[0], shape)
        winners = xp.empty(out.shape, dtype=winner_type(side))
        for rows, convolved in self._patches.convolve(self._maps_in(pre), self.weights):
            pool_maximum(xp, convolved, side, out[rows], winners[rows])
        return out.reshape(-1, self.n_target), winners

    def apply(self, pre: Array) -> Array:
        """See `Connection.apply`."""
        if self.winners is None:
            return self.decide(pre)[0]
        xp, side = self.backend.xp, self.geometry.pool
        out = self._empty(pre.shape[0], self.geometry.out_shape)
        for rows, convolved in self._patches.convolve(self._maps_in(pre), self.weights):
            pick_winners(xp, convolved, side, self.winners[rows], out[rows])
        return out.reshape(-1, self.n_target)

    def local_change(self, pre: Array, delta: Array) -> Array:
        """See `Connection.local_change`; without winners, those that `pre` decides on."""
        if self.winners is None:
            return self.holding(self.decide(pre)[1]).local_change(pre, delta)
        return super().local_change(pre, delta)

    def _blocks_out(self, post: Array) -> Iterator[tuple[slice, Array]]:
        if self.winners is None:
            msg = f"The pooling of {self.source, self.target} has no winners to send a signal to."
            raise RuntimeError(msg)
        xp, side = self.backend.xp, self.geometry.pool
        maps = post.reshape(-1, *self.geometry.out_shape)
        for rows in self._patches.blocks(maps.shape[0]):
            block = maps[rows]
            out = self._empty(block.shape[0], self.geometry.conv_shape)
            give_to_winners(xp, block, side, self.winners[rows], out)
            yield rows, out


class PoolingSignal:
    """Rates of a layer, with what they decide in the poolings that read them, each worked out once.

    Parameters
    ----------
    rates : array of shape (n_samples, n_l)
    poolings : dict of (source, target) to PooledConvolution
        Every pooling that reads this layer.
    """

    def __init__(self, rates: Array, poolings: dict[tuple[int, int], PooledConvolution]) -> None:
        self.rates = rates
        self._poolings = poolings
        self._decided: dict[tuple[int, int], tuple[Array, Array]] = {}

    def decided(self, pair: tuple[int, int]) -> tuple[Array, Array]:
        """What a pooled convolution gives, not to be written to, and its winners."""
        if pair not in self._decided:
            self._decided[pair] = self._poolings[pair].decide(self.rates)
        return self._decided[pair]


def rates_of(signal: Any) -> Array:
    """Rates that a layer tells the others, without what else it knows."""
    return signal.rates if isinstance(signal, PoolingSignal) else signal
