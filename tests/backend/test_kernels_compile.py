"""Every kernel compiles for the devices that are supported, as CuPy compiles it there."""

import re

import pytest

from sklearn_eqprop._backend.cuda.kernels import C_TYPES, compile_options, kernel_source
from tests.backend import nvrtc
from tests.backend.host_kernels import declarations

#: What CuPy adds to the options it is given (cupy/cuda/compiler.py): float32 numbers below the
#: smallest normal one become 0.
CUPY_OPTIONS = ("-ftz=true",)

needs_nvrtc = pytest.mark.skipif(
    nvrtc.library() is None, reason="needs the package nvidia-cuda-nvrtc-cu12 (Linux)"
)


@needs_nvrtc
@pytest.mark.parametrize("dtype", C_TYPES)
@pytest.mark.parametrize("architecture", ["sm_70", "sm_80", "sm_90"])
def test_nvrtc_compiles_all_kernels(dtype, architecture):
    options = [f"--gpu-architecture={architecture}", *compile_options(dtype), *CUPY_OPTIONS]
    binary = nvrtc.compiled(kernel_source(), options)
    names = [name for name, _ in declarations()]
    assert len(names) >= 8
    for name in names:
        assert f".text.{name}".encode() in binary


@needs_nvrtc
def test_a_broken_kernel_is_noticed():
    with pytest.raises(ValueError, match="undefined"):
        nvrtc.compiled(kernel_source().replace("atomicMax", "atomicMost"), ["-DREAL=float"])


def test_threads_of_a_row_meet_in_atomics_alone():
    """On the host they run one after the other, and a plain write would pass there."""
    source = kernel_source()
    n_kernels = sum("real* largest" in parameters for parameters in source.split("__global__"))
    assert n_kernels >= 4
    assert source.count("atomicMax((bits*)largest + blockIdx.x, found);") == n_kernels
    assert not re.search(r"largest\s*\[|\*\s*largest\s*=", source)
