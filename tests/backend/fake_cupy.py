"""A stand-in for CuPy that keeps its arrays in main memory and watches what is done with them.

It composes a NumPy array instead of inheriting from it, so nothing NumPy does by itself works on
it: NumPy arrays and these do not mix, ``float()`` and ``if`` on an array raise, and what makes the
host wait for a device, or moves data between them, is counted. Kernels are the real ones, compiled
by g++. What CuPy does not have, it has not either: tests compare the names with CuPy's own
where that is installed.
"""

import operator
import types
from dataclasses import dataclass
from importlib.machinery import ModuleSpec

import numpy as np

from tests.backend import host_kernels
from tests.backend.fake_cuda import FakeCuda, LateCopy, owner_of


@dataclass
class Counts:
    """What has happened since the last reset: transfers to the device and from it, and waits.

    Launches are kernels and products asked for, as CuPy would, roughly: functions of its own that
    take several kernels count as one.
    """

    to_device: int = 0
    to_host: int = 0
    waits: int = 0
    launches: int = 0
    bytes_to_device: int = 0
    bytes_to_host: int = 0

    def reset(self):
        for name in vars(self):
            setattr(self, name, 0)


def _refuse(what):
    def method(self, *_, **__):
        msg = f"implicit {what} of a device array: go through the backend"
        raise TypeError(msg)

    return method


class DeviceArray:
    """An array on the pretended device."""

    __hash__ = None
    __array__ = _refuse("conversion to NumPy")
    __float__ = __int__ = __bool__ = __index__ = __complex__ = _refuse("reading")
    __iter__ = __len__ = __contains__ = _refuse("iteration")

    def __init__(self, host, cp):
        assert type(host) is np.ndarray
        self._memory = host
        self._cp = cp
        owner = owner_of(host)
        cp.cuda.pool.living.note(owner, owner.nbytes)

    # ---- what can be known without asking the device

    __cuda_array_interface__ = property(lambda self: {"shape": self.shape, "version": 3})

    def __dlpack_device__(self):
        return 2, self._cp.cuda.runtime.current_device

    shape = property(lambda self: self._memory.shape)
    ndim = property(lambda self: self._memory.ndim)
    dtype = property(lambda self: self._memory.dtype)
    size = property(lambda self: self._memory.size)
    nbytes = property(lambda self: self._memory.nbytes)
    itemsize = property(lambda self: self._memory.itemsize)
    flags = property(lambda self: self._memory.flags)
    strides = property(lambda self: self._memory.strides)
    T = property(lambda self: self._cp.wrap(self._host.T))
    real = property(lambda self: self._cp.wrap(self._host.real))
    imag = property(lambda self: self._cp.wrap(self._host.imag))

    @property
    def _host(self):
        """What it holds once all is done that the current stream was asked for before."""
        self._cp.cuda.catch_up()
        return self._memory

    # ---- NumPy's functions, given device arrays alone

    def __array_ufunc__(self, function, method, *arguments, **options):
        if not any(isinstance(argument, np.generic) for argument in arguments):
            self._cp.check_answers_numpy(function)  # else it may be "number * array"
        if method != "__call__" or not all(self._cp.may_mix(argument) for argument in arguments):
            msg = f"numpy.{function.__name__} of a device array and something else"
            raise TypeError(msg)
        if "out" in options:
            [options["out"]] = options["out"]
        return self._cp.call(function, *arguments, **options)

    def __array_function__(self, function, types, arguments, options):
        self._cp.check_answers_numpy(function)
        own = getattr(self._cp, function.__name__, None)
        return NotImplemented if own is None else own(*arguments, **options)

    def __repr__(self):
        return f"DeviceArray(shape={self.shape}, dtype={self.dtype})"

    # ---- indexing

    def __getitem__(self, key):
        self._cp.count_mask(key)
        return self._cp.view_or_copy(self, self._host[self._cp.unwrap(key)])

    def __setitem__(self, key, value):
        self._cp.count_mask(key)
        self._cp.counts.launches += 1
        if self._cp.holds_arrays(key) and not isinstance(value, DeviceArray):
            self._cp.count_upload(self.itemsize)  # CuPy makes an array of the number first
        self._host[self._cp.unwrap(key)] = self._cp.unwrap(value)

    # ---- methods

    def get(self):
        return self._cp.asnumpy(self)

    def set(self, host, stream=None):
        self._cp.queue_copy(self._memory, host, stream)

    def ravel(self, order="C"):
        if order not in ("C", "F"):
            msg = f"the pretended CuPy ravels in order 'C' or 'F', not {order!r}"
            raise ValueError(msg)
        return self._cp.view_or_copy(self, self._host.ravel(order=order))

    def reshape(self, *shape):
        return self._cp.view_or_copy(self, self._host.reshape(*shape))

    def transpose(self, *axes):
        return self._cp.wrap(self._host.transpose(*axes))

    def view(self, dtype):
        return self._cp.view_or_copy(self, self._host.view(dtype))

    def astype(self, dtype, copy=True):
        return self._cp.view_or_copy(self, self._host.astype(dtype, copy=copy))


def _method(name):
    def method(self, *args, **kwargs):
        return self._cp.call(getattr(self._host, name), *args, **kwargs)

    return method


for _name in ("sum", "max", "min", "mean", "all", "any", "copy", "argmax", "cumsum"):
    setattr(DeviceArray, _name, _method(_name))


def _operator(function, *, swapped=False):
    def method(self, *others):
        if not all(self._cp.may_mix(other) for other in others):
            return NotImplemented
        arguments = (*others, self) if swapped else (self, *others)
        return self._cp.call(function, *arguments)

    return method


def _in_place(function):
    def method(self, other):
        if not self._cp.may_mix(other):
            return NotImplemented
        self._cp.counts.launches += 1
        function(self._host, self._cp.unwrap(other))
        return self

    return method


BINARY = ["add", "sub", "mul", "truediv", "floordiv", "pow", "matmul"]
BINARY += ["and", "or", "xor", "rshift"]
for _name in BINARY:
    _function = getattr(operator, f"{_name}_" if _name in ("and", "or") else _name)
    setattr(DeviceArray, f"__{_name}__", _operator(_function))
    setattr(DeviceArray, f"__r{_name}__", _operator(_function, swapped=True))
    if _name != "matmul":
        setattr(DeviceArray, f"__i{_name}__", _in_place(getattr(operator, f"i{_name}")))
for _name in ("lt", "le", "gt", "ge", "eq", "ne", "neg", "invert", "abs"):
    setattr(DeviceArray, f"__{_name}__", _operator(getattr(operator, _name)))

#: Functions of CuPy's that may be used, and that work as NumPy's of the same name.
# fmt: off
FUNCTIONS = [
    "abs", "all", "any", "arange", "argmax", "clip", "copyto", "cumsum", "divide", "dot", "empty",
    "empty_like", "exp", "expm1", "eye", "fmax", "frexp", "full", "isfinite", "ldexp", "log",
    "log1p", "logaddexp", "matmul", "maximum", "minimum", "multiply", "nonzero", "ones",
    "ones_like", "repeat", "sign", "sort", "sqrt", "take_along_axis", "tanh", "tile", "trace",
    "vdot", "where", "zeros", "zeros_like",
]
# fmt: on
#: Of these the host waits for the outcome.
WAITING = {"nonzero"}
#: These ask for memory only.
WITHOUT_KERNEL = {"empty", "empty_like"}
#: Functions that the pretended CuPy has besides, with what CuPy does about them counted.
COUNTED_FUNCTIONS = ["ascontiguousarray", "concatenate", "stack"]
#: CuPy joins up to so many arrays by copying each to its place. More of them, unless they are
#: large, it joins by a single kernel, and a table of their addresses must cross the bus first.
JOINED_ONE_BY_ONE = 8
LARGE_TO_JOIN = 2 * 2**20  # bytes an array


class FakeCupy(types.ModuleType):
    """The module; use as ``cupy`` and read `counts`.

    Parameters
    ----------
    answers_numpy : bool, default=False
        Whether NumPy's functions work on device arrays, as they do on CuPy's: a user may write a
        loss with them. The package itself shall not need it.
    """

    ndarray = DeviceArray
    float32, float64, int32, int64, bool_ = np.float32, np.float64, np.int32, np.int64, np.bool_
    inf, nan, pi, newaxis = np.inf, np.nan, np.pi, None

    def __init__(self, *, answers_numpy=False):
        super().__init__("cupy")
        self.__spec__ = ModuleSpec("cupy", None)
        self.answers_numpy = answers_numpy
        self.counts = Counts()
        self.cuda = FakeCuda(self)
        self.linalg = types.SimpleNamespace(solve=self._wrapping(np.linalg.solve))
        strided = self._wrapping(np.lib.stride_tricks.as_strided)
        self.lib = types.SimpleNamespace(stride_tricks=types.SimpleNamespace(as_strided=strided))
        for name in FUNCTIONS:
            counted = {"waits": name in WAITING, "launches": name not in WITHOUT_KERNEL}
            setattr(self, name, self._wrapping(getattr(np, name), **counted))

    finfo = staticmethod(np.finfo)

    def get_default_memory_pool(self):
        return self.cuda.pool

    # ---- moving data

    def asarray(self, array, dtype=None, order=None):
        if isinstance(array, DeviceArray):
            return self.view_or_copy(array, np.asarray(array._host, dtype=dtype))
        host = np.array(array, dtype=dtype, order=order or "K")
        self.count_upload(host.nbytes)
        self.cuda.reserve(host.nbytes)
        return self.wrap(host)

    def from_dlpack(self, array):
        kind, _ = array.__dlpack_device__()
        assert kind == 2
        return self.wrap(array.__dlpack__(stream=self.cuda.get_current_stream())._memory)

    def array(self, array, dtype=None):
        if isinstance(array, DeviceArray):
            return self.view_or_copy(array, np.array(array._host, dtype=dtype))
        return self.asarray(array, dtype)

    def asnumpy(self, array, order="C"):
        if isinstance(array, DeviceArray):
            self.counts.to_host += 1
            self.counts.bytes_to_host += array.nbytes
            self.counts.waits += 1
            self.cuda.wait()
            return np.array(array._host, order=order)
        return np.asarray(array)

    def queue_copy(self, target, source, stream):
        """Read late, from pageable memory as well: on some machines the device reads it itself."""
        self.count_upload(target.nbytes)
        stream = stream or self.cuda.get_current_stream()
        stream.queue(LateCopy(target, source), late=True)

    # ---- joining and ordering

    def ascontiguousarray(self, array):
        return self.view_or_copy(array, np.ascontiguousarray(self.unwrap(array)))

    def concatenate(self, arrays, axis=0):
        arrays = list(arrays)
        self._count_joining(arrays, same_shape=len({a.shape[axis] for a in arrays}) == 1)
        return self.wrap(np.concatenate(self.unwrap(arrays), axis=axis))

    def stack(self, arrays, axis=0):
        arrays = list(arrays)
        self._count_joining(arrays, same_shape=True)
        return self.wrap(np.stack(self.unwrap(arrays), axis=axis))

    def _count_joining(self, arrays, *, same_shape):
        """As CuPy's ``_concatenate`` (cupy/_core/_routines_manipulation.pyx)."""
        n, n_bytes = len(arrays), sum(array.nbytes for array in arrays)
        alike = len({array.dtype for array in arrays}) == 1
        if n <= JOINED_ONE_BY_ONE or not alike or n_bytes >= LARGE_TO_JOIN * n:
            self.counts.launches += n
            return
        self.counts.launches += 1
        self.count_upload(8 * n)  # addresses
        if not (same_shape and all(array.flags.c_contiguous for array in arrays)):
            self.count_upload(8 * n)  # where each begins
            self.count_upload(8 * n * arrays[0].ndim)  # strides

    # ---- how functions are made to work on device arrays alone

    def count_upload(self, n_bytes):
        self.counts.to_device += 1
        self.counts.bytes_to_device += n_bytes

    def count_mask(self, key):
        """Where rows are read or set by a mask, CuPy reads how many there are."""
        self.counts.waits += self.is_mask(key)

    def view_or_copy(self, source, found):
        self.counts.launches += not np.may_share_memory(source._host, found)
        return self.wrap(found)

    def may_mix(self, value):
        return isinstance(value, (DeviceArray, bool, int, float, complex, np.generic))

    def is_mask(self, key):
        return any(k.dtype == bool and k.ndim for k in _arrays_of(key))

    def holds_arrays(self, key):
        return bool(_arrays_of(key))

    def wrap(self, value):
        if isinstance(value, tuple):
            return tuple(self.wrap(part) for part in value)
        return DeviceArray(np.asarray(value), self)

    def unwrap(self, value):
        if isinstance(value, DeviceArray):
            return value._host
        if isinstance(value, np.ndarray):
            msg = "a NumPy array among device arrays: move it with from_host"
            raise TypeError(msg)
        if isinstance(value, (tuple, list)):
            return type(value)(self.unwrap(part) for part in value)
        return value

    def call(self, function, *args, launches=True, **kwargs):
        self.counts.launches += launches
        out = kwargs.get("out")
        args = self.unwrap(args)
        kwargs = {name: self.unwrap(value) for name, value in kwargs.items()}
        with np.errstate(all="ignore"):  # a device raises no floating-point flags
            found = function(*args, **kwargs)
        if found is None:
            return None
        return self.wrap(found) if out is None else out

    def check_answers_numpy(self, function):
        if not self.answers_numpy:
            msg = f"numpy.{function.__name__} of a device array: use the backend's xp"
            raise TypeError(msg)

    def _wrapping(self, function, *, waits=False, launches=True):
        def wrapped(*args, **kwargs):
            self.counts.waits += waits
            return self.call(function, *args, launches=launches, **kwargs)

        return wrapped

    # ---- kernels

    def RawModule(self, *, code, options=()):  # noqa: N802
        real = host_kernels.real_of(options)
        return types.SimpleNamespace(get_function=lambda name: self._kernel(real, name))

    def _kernel(self, real, name):
        def launch(grid, block, arguments):
            [n_blocks], [n_threads] = grid, block
            self.counts.launches += 1
            assert n_threads % 32 == 0
            assert 0 < n_threads <= 1024
            host_kernels.run(real, name, n_blocks, n_threads, self.unwrap(arguments))

        return launch


def _arrays_of(key):
    return [k for k in (key if isinstance(key, tuple) else (key,)) if isinstance(k, DeviceArray)]
