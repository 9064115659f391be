"""Calls of the circuit simulator ngspice by its shared library, for one circuit at a time."""

import ctypes
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from ctypes.util import find_library
from functools import cache
from threading import Lock
from typing import Any

import numpy as np

_NAMES = ("libngspice.so.0", "libngspice.so", "libngspice.0.dylib", "libngspice.dylib")
#: The library has one global state.
_LOCK = Lock()
#: The last lines that ngspice has printed.
_PRINTED: list[str] = []
_MOST_PRINTED = 20


class _Vector(ctypes.Structure):
    """The numbers of one node, ``vector_info`` in ngspice's sharedspice.h."""

    _fields_ = (
        ("name", ctypes.c_char_p),
        ("type", ctypes.c_int),
        ("flags", ctypes.c_short),
        ("real", ctypes.POINTER(ctypes.c_double)),
        ("complex", ctypes.c_void_p),
        ("length", ctypes.c_int),
    )


_Printer = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_char_p, ctypes.c_int, ctypes.c_void_p)
_Exit = ctypes.CFUNCTYPE(
    *(ctypes.c_int, ctypes.c_int, ctypes.c_bool, ctypes.c_bool, ctypes.c_int, ctypes.c_void_p)
)


def _keep(line: bytes, *_: Any) -> int:
    _PRINTED.append(line.decode(errors="replace"))
    del _PRINTED[:-_MOST_PRINTED]
    return 0


# Kept here, because the library calls them later.
_PRINTER, _EXIT = _Printer(_keep), _Exit(lambda *_: 0)


@cache
def library() -> Any:
    """Return the library.

    Raises
    ------
    OSError
        If it is not installed.
    """
    for name in (*_NAMES, find_library("ngspice") or "ngspice"):
        try:
            found = ctypes.CDLL(name)
        except OSError:
            continue
        found.ngGet_Vec_Info.restype = ctypes.POINTER(_Vector)
        found.ngSpice_Init(_PRINTER, _PRINTER, _EXIT, None, None, None, None)
        return found
    msg = "the shared library of ngspice is not installed. On Debian: apt install libngspice0"
    raise OSError(msg)


@contextmanager
def loaded(lines: Sequence[str]) -> Iterator[Any]:
    """Load a circuit; inside, its analyses can run."""
    found = library()
    with _LOCK:
        _PRINTED.clear()
        texts = [line.encode() for line in lines]
        if found.ngSpice_Circ((ctypes.c_char_p * (len(texts) + 1))(*texts, None)):
            raise RuntimeError(_trouble("ngspice cannot read the circuit"))
        try:
            yield found
        finally:
            for command in (b"destroy all", b"remcirc"):
                found.ngSpice_Command(command)


def voltages(
    lines: Sequence[str], analysis: str, nodes: Sequence[str], n_points: int | None = None
) -> np.ndarray:
    """Return the voltages of nodes, shape (n_points, n_nodes).

    Parameters
    ----------
    lines : sequence of str
        The circuit.
    analysis : str
        Command, such as 'op', 'dc ...' or 'tran ...'.
    nodes : sequence of str
    n_points : int or None, default=None
        Number of points that the analysis must give. None: any number above 0.

    Raises
    ------
    RuntimeError
        If ngspice cannot read the circuit, or does not solve all points.
    """
    with loaded(lines) as found:
        found.ngSpice_Command(analysis.encode())
        columns = []
        for node in nodes:
            vector = found.ngGet_Vec_Info(node.encode())
            length = vector.contents.length if vector and vector.contents.real else 0
            if length == 0 or (n_points is not None and length != n_points):
                raise RuntimeError(_trouble(f"ngspice has solved {length} of {n_points} points"))
            columns.append(np.ctypeslib.as_array(vector.contents.real, (length,)).copy())
    return np.stack(columns, axis=1)


def _trouble(what: str) -> str:
    said = [line.partition(" ")[2] for line in _PRINTED if "rror" in line or "arning" in line]
    return what + (f": {'; '.join(said[-3:])}" if said else "")
