"""The device kernels compiled for the host by g++, their threads run one after the other."""

import ctypes
import re
import shutil
import subprocess
import tempfile
from functools import cache
from pathlib import Path

import numpy as np

from sklearn_eqprop._backend.cuda.kernels import C_TYPES, kernel_source

#: CUDA's words in terms of plain C++.
HEADER = """
#include <cmath>
#define __global__
#define __device__
struct index { unsigned x; };
// Of each thread: ctypes lets the others run during a call.
static thread_local index blockIdx, threadIdx, blockDim, gridDim;
template <typename T> static void atomicMax(T* at, T value) { if (value > *at) *at = value; }
using std::sqrt;
"""
#: Runs every thread of every block of one kernel.
LAUNCHER = """
extern "C" void run_{name}(unsigned n_blocks, unsigned n_threads, {parameters})
{{
    gridDim.x = n_blocks;
    blockDim.x = n_threads;
    for (blockIdx.x = 0; blockIdx.x < n_blocks; ++blockIdx.x)
        for (threadIdx.x = 0; threadIdx.x < n_threads; ++threadIdx.x)
            {name}({arguments});
}}
"""
DECLARATION = re.compile(r'extern "C" __global__ void (\w+)\(([^)]*)\)')

has_compiler = shutil.which("g++") is not None


@cache
def declarations():
    """(name, [parameter]) of every kernel."""
    found = DECLARATION.findall(kernel_source())
    return [(name, [" ".join(part.split()) for part in rest.split(",")]) for name, rest in found]


@cache
def library(real):
    """The kernels for one type of number, as a shared library."""
    launchers = [
        LAUNCHER.format(
            name=name,
            parameters=", ".join(parameters),
            arguments=", ".join(parameter.split()[-1].lstrip("*") for parameter in parameters),
        )
        for name, parameters in declarations()
    ]
    folder = Path(tempfile.mkdtemp(prefix="eqprop_kernels_"))
    source, built = folder / "kernels.cpp", folder / "kernels.so"
    source.write_text(HEADER + kernel_source() + "".join(launchers), encoding="utf-8")
    command = ["g++", "-std=c++17", "-O2", "-shared", "-fPIC", "-Wall", "-Werror"]
    command += ["-ffp-contract=off", f"-DREAL={real}", str(source), "-o", str(built)]
    try:
        subprocess.run(command, check=True, capture_output=True, text=True)
        return ctypes.CDLL(str(built))
    finally:
        shutil.rmtree(folder)


def run(real, name, n_blocks, n_threads, arguments):
    """Launch a kernel on NumPy arrays and NumPy numbers, each of exactly the declared width."""
    [parameters] = [found for kernel, found in declarations() if kernel == name]
    assert len(arguments) == len(parameters), (name, len(arguments), parameters)
    by_rows = name.startswith("row_")
    passed = [
        _passed(real, *pair, by_rows=by_rows) for pair in zip(parameters, arguments, strict=True)
    ]
    function = getattr(library(real), f"run_{name}")
    function.restype = None
    function(ctypes.c_uint(n_blocks), ctypes.c_uint(n_threads), *passed)


def _passed(real, parameter, value, *, by_rows):
    kind = parameter.rsplit(maxsplit=1)[0].removeprefix("const ")
    numpy_type = np.float32 if real == "float" else np.float64
    if "*" in parameter:
        if isinstance(value, np.ndarray):
            expected = np.bool_ if kind.startswith("bool") else numpy_type
            assert value.dtype == expected, (parameter, value.dtype)
            lies_well = value.flags.c_contiguous or (not by_rows and value.flags.f_contiguous)
            assert lies_well, parameter
            return ctypes.c_void_p(value.ctypes.data)
        assert type(value) is np.uint64, (parameter, value)
        assert value == 0
        return ctypes.c_void_p(None)
    if kind == "long long":
        assert type(value) is np.int64, (parameter, type(value))
        return ctypes.c_longlong(int(value))
    assert kind == "real", parameter
    assert type(value) is numpy_type, (parameter, type(value))
    return (ctypes.c_float if real == "float" else ctypes.c_double)(float(value))


def real_of(options):
    """C's type of number that a module is compiled for."""
    [real] = [option.removeprefix("-DREAL=") for option in options if "REAL" in option]
    assert real in C_TYPES.values()
    return real
