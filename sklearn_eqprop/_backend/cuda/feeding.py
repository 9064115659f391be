"""Training rows for a device: all of them stay there, or minibatches are streamed to it."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from sklearn_eqprop._backend.array_backend import Array
from sklearn_eqprop._backend.host import batches, dense_rows


@dataclass(eq=False)
class DeviceRows:
    """All rows on the device. Per epoch only the order of the rows is sent to the device.

    Minibatches have the given type, and each of their columns is multiplied by its factor. So
    inputs that belong to the user are neither changed nor copied as a whole.
    """

    xp: Any
    inputs: Array
    target: Array
    dtype: Any
    factors: Array | None = None

    def minibatches(
        self, order: np.ndarray | None, batch_size: int
    ) -> Iterator[tuple[Any, Array, Array]]:
        there = None if order is None else self.xp.asarray(order)
        n_done = 0
        for rows in batches(self.inputs.shape[0], batch_size, order):
            which: Any = rows
            if there is not None:
                which = there[n_done : n_done + len(rows)]
                n_done += len(rows)
            inputs = self.inputs[which].astype(self.dtype, copy=False)
            if self.factors is not None:
                inputs = inputs * self.factors
            yield rows, inputs, self.target[which]


class StreamedRows:
    """Rows in main memory, for computing on a device that cannot hold all of them.

    Two pinned buffers on the host and two buffers on the device take turns. While the device
    computes with one minibatch, the next is gathered and copied on a separate stream. The device
    holds two minibatches at a time.

    The parameters are those of `ArrayBackend.feed`, with `factors` on the device, and CuPy or a
    module with its interface.
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
        current = self._cp.cuda.get_current_stream()
        copying = self._cp.cuda.Stream(non_blocking=True)
        n_rows = self._sources[0].shape[0]
        widths = [source.shape[1] for source in self._sources]
        slots = [
            _Slot(self._cp, min(batch_size, n_rows), widths, self._dtype, copying) for _ in range(2)
        ]
        coming = batches(n_rows, batch_size, order)
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
                inputs, target = slot.received()
                yield rows, inputs if self._factors is None else inputs * self._factors, target
                slot.used.record(current)
                rows, slots = following, slots[::-1]
        finally:  # also if training stops early: a buffer may be freed only after its last copy
            copying.synchronize()


class _Slot:
    """One of the two buffers that take turns: its part on the host and its part on the device.

    Attributes
    ----------
    arrived : event
        The rows have arrived on the device.
    used : event
        No queued work needs the buffer on the device any more.
    """

    def __init__(self, cp: Any, n_rows: int, widths: list[int], dtype: Any, stream: Any) -> None:
        self._stream = stream
        self._pinned = [_pinned(cp, (n_rows, width), dtype) for width in widths]
        self._there = [cp.empty((n_rows, width), dtype=dtype) for width in widths]
        self._n_rows = 0
        self.arrived = cp.cuda.Event(disable_timing=True)
        self.used = cp.cuda.Event(disable_timing=True)
        # This memory may belong to a freed array that queued work still reads.
        self.used.record(cp.cuda.get_current_stream())

    def send(self, sources: tuple[Any, Any], rows: Any) -> None:
        """Gather rows and start copying them to the device."""
        self.arrived.synchronize()  # the pinned buffers are free once their last copy is made
        self._stream.wait_event(self.used)
        for source, pinned, there in zip(sources, self._pinned, self._there, strict=True):
            part = dense_rows(source, rows)
            self._n_rows = part.shape[0]
            pinned[: self._n_rows] = part
            there[: self._n_rows].set(pinned[: self._n_rows], stream=self._stream)
        self.arrived.record(self._stream)

    def received(self) -> list[Array]:
        """The rows on the device: inputs and target."""
        return [there[: self._n_rows] for there in self._there]


def _pinned(cp: Any, shape: tuple[int, int], dtype: Any) -> np.ndarray:
    """An array in pinned memory, which the device can read directly."""
    n_numbers = shape[0] * shape[1]
    memory = cp.cuda.alloc_pinned_memory(n_numbers * dtype.itemsize)
    return np.frombuffer(memory, dtype, n_numbers).reshape(shape)
