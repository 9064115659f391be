"""``cupy.cuda`` of the stand-in for CuPy: memory, streams, events and the runtime."""

import ctypes
import sys
import types
import weakref

import numpy as np


class OutOfMemoryError(MemoryError):
    """As ``cupy.cuda.memory.OutOfMemoryError``."""


class FakeCuda(types.SimpleNamespace):
    """``cupy.cuda``: a device of any size, its driver, and streams that dawdle."""

    def __init__(self, cp):
        super().__init__()
        self.memory = types.SimpleNamespace(OutOfMemoryError=OutOfMemoryError)
        self.free_bytes = 8 * 2**30
        self.pool = FakePool()
        self.largest_transfer = sys.maxsize
        self.runtime = FakeRuntime(self)
        self.cp = cp
        self.compute_capability = "80"
        self.pinned_bytes = self.event_waits = self.stream_waits = 0
        self.pinned = Living()
        self._streams = []
        self._current = FakeStream(self, waits=False)

    def get_current_stream(self):
        return self._current

    def Device(self):  # noqa: N802
        return types.SimpleNamespace(compute_capability=self.compute_capability)

    def Stream(self, *, non_blocking):  # noqa: N802
        assert non_blocking  # or it would wait for the default stream
        return FakeStream(self, waits=True)

    def Event(self, *, disable_timing):  # noqa: N802
        assert disable_timing
        return FakeEvent(self)

    def alloc_pinned_memory(self, n_bytes):
        self.pinned_bytes += n_bytes
        memory = PinnedMemory(n_bytes)
        self.pinned.note(memory, n_bytes)
        return memory

    def dawdle(self):
        """Let the current stream do nothing before somebody needs what it has to do."""
        self._current = FakeStream(self, waits=True)
        return self._current

    def catch_up(self):
        """What a stream that does not wait does before a kernel runs: all that was asked before."""
        if not self._current.waits:
            self.wait()

    def wait(self):
        """What reading a number does: the current stream has nothing left to do."""
        self._current.work(self._current.n_queued)

    def finish(self):
        """Do all that has been asked for, on streams that nobody holds any more, too."""
        for stream in self._streams:
            stream.work(stream.n_queued)

    def reserve(self, n_bytes):
        if n_bytes > self.largest_transfer:
            msg = f"Out of memory allocating {n_bytes:,} bytes"
            raise OutOfMemoryError(msg)


class PinnedMemory(bytearray):
    """What ``cupy.cuda.alloc_pinned_memory`` gives; a bytearray alone cannot be watched."""


class Living:
    """Bytes of what has not been given up."""

    def __init__(self):
        self._sizes = {}

    def note(self, owner, n_bytes):
        key = id(owner)
        if key not in self._sizes:
            self._sizes[key] = n_bytes
            weakref.finalize(owner, self._sizes.pop, key)

    @property
    def n_bytes(self):
        return sum(self._sizes.values())


class FakePool:
    """CuPy's pool of memory, which keeps nothing that has been given up."""

    def __init__(self):
        self.limit = 0
        self.living = Living()

    def set_limit(self, size):
        self.limit = size

    def get_limit(self):
        return self.limit

    def used_bytes(self):
        return self.living.n_bytes

    def free_bytes(self):
        return 0

    def free_all_blocks(self):
        pass


class FakeStream:
    """Work in order. One that waits does nothing before somebody needs what it has to do."""

    def __init__(self, cuda, *, waits):
        self._cuda = cuda
        self.waits = waits
        self._queue = []
        self.n_queued = self.n_done = 0
        cuda._streams.append(self)

    def queue(self, task, *, late=False):
        """Ask for something; what is late comes after the host has gone on, on any stream."""
        self.n_queued += 1
        self._queue.append(task)
        if not (self.waits or late):
            self.work(self.n_queued)

    def work(self, until):
        while self.n_done < until:
            self._queue.pop(0)()
            self.n_done += 1

    def synchronize(self):
        self._cuda.stream_waits += 1
        self.work(self.n_queued)

    def wait_event(self, event):
        self.queue(event.as_recorded())


class LateCopy:
    """A copy that reads when it is made, and keeps neither side alive: as ``memcpyAsync``."""

    def __init__(self, target, source):
        assert type(source) is np.ndarray
        assert source.shape == target.shape
        assert source.dtype == target.dtype
        # Else CuPy would refuse, or send a contiguous copy that nobody keeps.
        assert source.flags.c_contiguous
        assert target.flags.c_contiguous
        self._n_bytes = source.nbytes
        self._addresses = target.ctypes.data, source.ctypes.data
        self._owners = [weakref.ref(owner_of(array)) for array in (target, source)]

    def __call__(self):
        target, source = (owner() for owner in self._owners)
        assert target is not None, "the device still writes to memory that has been given up"
        assert source is not None, "the device still reads memory that has been given up"
        ctypes.memmove(*self._addresses, self._n_bytes)


def owner_of(array):
    """The array that the memory goes with."""
    while isinstance(array.base, np.ndarray):
        array = array.base
    return array


class FakeEvent:
    """A place in a stream's queue; one that was never recorded has happened."""

    def __init__(self, cuda):
        self._cuda = cuda
        self._stream = None
        self._place = 0

    def record(self, stream):
        self._stream, self._place = stream, stream.n_queued

    def as_recorded(self):
        """What who waits waits for: the record as it is now, whatever is recorded later."""
        stream, place = self._stream, self._place
        return lambda: stream is None or stream.work(place)

    def synchronize(self):
        self._cuda.event_waits += 1
        self.as_recorded()()


class CUDARuntimeError(RuntimeError):
    """As ``cupy.cuda.runtime.CUDARuntimeError``."""


class FakeRuntime:
    """``cupy.cuda.runtime`` of one device with a driver that fits."""

    CUDARuntimeError = CUDARuntimeError

    def __init__(self, cuda):
        self._cuda = cuda
        self.driver, self.version, self.n_devices = 12080, 12090, 1
        self.current_device = 0

    def driverGetVersion(self):  # noqa: N802
        return self.driver

    def runtimeGetVersion(self):  # noqa: N802
        return self.version

    def getDeviceCount(self):  # noqa: N802
        return self.n_devices

    def getDevice(self):  # noqa: N802
        return self.current_device

    def memGetInfo(self):  # noqa: N802
        return self._cuda.free_bytes, 16 * 2**30
