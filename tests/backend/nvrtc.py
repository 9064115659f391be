"""NVIDIA's runtime compiler, called directly: it needs no driver and no device."""

import ctypes
from functools import cache
from importlib.util import find_spec
from pathlib import Path


@cache
def library():
    """The compiler, from the package nvidia-cuda-nvrtc-cu12; None where that is missing."""
    try:
        spec = find_spec("nvidia.cuda_nvrtc")
    except ModuleNotFoundError:
        return None
    folders = [] if spec is None else spec.submodule_search_locations
    found = [path for folder in folders for path in Path(folder).glob("lib/libnvrtc.so.1*")]
    return ctypes.CDLL(str(found[0])) if found else None


def compiled(source, options):
    """Machine code of a program.

    Raises
    ------
    ValueError
        With the compiler's log if it does not compile.
    """
    nvrtc, program = library(), ctypes.c_void_p()
    nvrtc.nvrtcCreateProgram(ctypes.byref(program), source.encode(), b"kernels.cu", 0, None, None)
    try:
        passed = (ctypes.c_char_p * len(options))(*(option.encode() for option in options))
        if nvrtc.nvrtcCompileProgram(program, len(options), passed):
            raise ValueError(_read(nvrtc, program, "ProgramLog").decode())
        return _read(nvrtc, program, "CUBIN")
    finally:
        nvrtc.nvrtcDestroyProgram(ctypes.byref(program))


def _read(nvrtc, program, what):
    size = ctypes.c_size_t()
    getattr(nvrtc, f"nvrtcGet{what}Size")(program, ctypes.byref(size))
    buffer = ctypes.create_string_buffer(size.value)
    getattr(nvrtc, f"nvrtcGet{what}")(program, buffer)
    return buffer.raw
