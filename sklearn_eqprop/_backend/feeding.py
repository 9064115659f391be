"""Where training rows live, and how a minibatch gets to where it is used."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from scipy import sparse

from sklearn_eqprop._backend.array_backend import Array

#: Share of numbers that are not 0 up to which products with a CSR array are quicker than making
#: its rows dense: with 100 to 512 hidden units and one thread both take as long at 5 to 10 %.
SPARSE_SHARE = 0.05


class HostRows:
    """Rows in main memory, for computing there: a minibatch is taken from them when it is due.

    Parameters
    ----------
    inputs, target : arrays with one row a sample
    dtype : dtype
        Of the arrays that are handed out.
    factors : ndarray of shape (n_features,) or None
        What each column of the inputs is multiplied by.
    """

    def __init__(self, inputs: Any, target: Any, dtype: Any, factors: np.ndarray | None) -> None:
        self._inputs = inputs
        self._target = target
        self._dtype = dtype
        self._factors = None if factors is None else np.asarray(factors, dtype=dtype)

    def minibatches(
        self, order: np.ndarray | None, batch_size: int
    ) -> Iterator[tuple[Any, Array, Array]]:
        """See `Feed.minibatches`."""
        for rows in host_rows(self._inputs.shape[0], order, batch_size):
            inputs = rows_to_read(self._inputs, rows, self._dtype, self._factors)
            yield rows, inputs, np.asarray(self._target[rows], dtype=self._dtype)


class DeviceRows:
    """All rows on the device: what crosses the bus in an epoch is the order of the rows.

    Parameters
    ----------
    xp : module
    inputs, target : arrays of the device
    dtype : dtype
        Of the arrays that are handed out.
    factors : array of shape (n_features,) or None, default=None
        What each column of the inputs is yet to be multiplied by. Inputs of the user's own are
        neither changed nor copied as a whole.
    """

    def __init__(
        self, xp: Any, inputs: Array, target: Array, dtype: Any, factors: Array | None = None
    ) -> None:
        self._xp = xp
        self._inputs = inputs
        self._target = target
        self._dtype = dtype
        self._factors = factors

    def minibatches(
        self, order: np.ndarray | None, batch_size: int
    ) -> Iterator[tuple[Any, Array, Array]]:
        """See `Feed.minibatches`."""
        there = None if order is None else self._xp.asarray(order)
        for batch, rows in enumerate(host_rows(self._inputs.shape[0], order, batch_size)):
            which: Any = rows
            if there is not None:
                which = there[batch * batch_size : (batch + 1) * batch_size]
            inputs = self._inputs[which].astype(self._dtype, copy=False)
            if self._factors is not None:
                inputs = inputs * self._factors
            yield rows, inputs, self._target[which]


class StreamedRows:
    """Rows in main memory, for computing on a device that has no room for all of them.

    Two pinned buffers on the host and two on the device take turns: while one minibatch is worked
    on, the next is gathered and copied on a stream of its own. What the device holds of the rows
    is two minibatches.

    Parameters
    ----------
    cp : module
        ``cupy``, or a module with its interface.
    inputs, target, dtype : as for `HostRows`
    factors : array of the device of shape (n_features,) or None
    """

    def __init__(
        self, cp: Any, inputs: Any, target: Any, dtype: Any, factors: Array | None
    ) -> None:
        self._cp = cp
        self._sources = (inputs, target)
        self._dtype = np.dtype(dtype)
        self._factors = factors

    def minibatches(
        self, order: np.ndarray | None, batch_size: int
    ) -> Iterator[tuple[Any, Array, Array]]:
        """See `Feed.minibatches`."""
        current = self._cp.cuda.get_current_stream()
        copying = self._cp.cuda.Stream(non_blocking=True)
        n_rows = self._sources[0].shape[0]
        widths = [source.shape[1] for source in self._sources]
        slots = [
            _Slot(self._cp, min(batch_size, n_rows), widths, self._dtype, copying) for _ in range(2)
        ]
        coming = host_rows(n_rows, order, batch_size)
        rows = next(coming, None)
        try:
            if rows is not None:
                slots[0].send(self._sources, rows)
            while rows is not None:
                slot, other = slots
                following = next(coming, None)
                if following is not None:
                    other.send(self._sources, following)
                current.wait_event(slot.arrived)
                inputs, target = slot.received
                yield rows, inputs if self._factors is None else inputs * self._factors, target
                slot.used.record(current)
                rows, slots = following, slots[::-1]
        finally:  # also where training breaks off: no buffer is given up that is being written
            copying.synchronize()


class _Slot:
    """One of the buffers that take turns, on both sides of the bus.

    Attributes
    ----------
    arrived, used : events
        When what was sent has arrived; when nothing that has been queued needs it any more.
    """

    def __init__(self, cp: Any, n_rows: int, widths: list[int], dtype: Any, stream: Any) -> None:
        self._stream = stream
        self._pinned = [_pinned(cp, (n_rows, width), dtype) for width in widths]
        self._there = [cp.empty((n_rows, width), dtype=dtype) for width in widths]
        self._n_rows = 0
        self.arrived = cp.cuda.Event(disable_timing=True)
        self.used = cp.cuda.Event(disable_timing=True)
        # The memory may have been another array's, of work that is queued but not done yet.
        self.used.record(cp.cuda.get_current_stream())

    def send(self, sources: tuple[Any, Any], rows: Any) -> None:
        """Gather rows and start copying them."""
        self.arrived.synchronize()  # the pinned buffers are free once their last copy is made
        self._stream.wait_event(self.used)
        for source, pinned, there in zip(sources, self._pinned, self._there, strict=True):
            part = dense_rows(source, rows)
            self._n_rows = part.shape[0]
            pinned[: self._n_rows] = part
            there[: self._n_rows].set(pinned[: self._n_rows], stream=self._stream)
        self.arrived.record(self._stream)

    @property
    def received(self) -> list[Array]:
        """What was sent, on the device."""
        return [there[: self._n_rows] for there in self._there]


def _pinned(cp: Any, shape: tuple[int, int], dtype: Any) -> np.ndarray:
    """An array in memory that the device reads by itself."""
    n_numbers = shape[0] * shape[1]
    memory = cp.cuda.alloc_pinned_memory(n_numbers * dtype.itemsize)
    return np.frombuffer(memory, dtype, n_numbers).reshape(shape)


def host_rows(n_rows: int, order: np.ndarray | None, batch_size: int) -> Iterator[Any]:
    """Row numbers of each minibatch; slices, which copy nothing, where rows keep their order."""
    for start in range(0, n_rows, batch_size):
        rows = slice(start, min(start + batch_size, n_rows))
        yield rows if order is None else order[rows]


def stays_sparse(X: Any) -> bool:
    """Whether a network on the host reads X sparse: few enough of its numbers are not 0."""
    return sparse.issparse(X) and X.nnz <= SPARSE_SHARE * X.shape[0] * X.shape[1]


def rows_to_read(X: Any, rows: Any, dtype: Any, factors: np.ndarray | None = None) -> Array:
    """Some rows of X as a network on the host reads them: an array, or a CSR array.

    Parameters
    ----------
    X : ndarray or CSR matrix of shape (n_samples, n_features)
    rows : slice or ndarray of indices
    dtype : dtype
    factors : ndarray of shape (n_features,) or None, default=None
        What each column is multiplied by.
    """
    if stays_sparse(X):
        part = X[rows]
        numbers = part.data.astype(dtype, copy=False)
        if factors is not None:
            numbers = numbers * factors[part.indices]
        # An array, not a matrix, whose * would be a product of matrices.
        return sparse.csr_array((numbers, part.indices, part.indptr), shape=part.shape)
    inputs = np.asarray(dense_rows(X, rows), dtype=dtype)
    return inputs if factors is None else inputs * factors


def dense_rows(X: Any, rows: Any) -> Array:
    """Some rows of X, dense: sparse data are never made dense as a whole.

    Parameters
    ----------
    X : array or CSR matrix of shape (n_samples, n_features)
    rows : slice or ndarray of indices
    """
    part = X[rows]
    return part.toarray() if sparse.issparse(part) else part
