"""Every kernel compiles for the devices that are supported, as CuPy compiles it there."""

import pytest

from sklearn_eqprop.backend.kernels import C_TYPES, compile_options, kernel_source
from tests.backend import nvrtc
from tests.backend.host_kernels import declarations

#: What CuPy adds to the options it is given (cupy/cuda/compiler.py): float32 numbers below the
#: smallest normal one become 0.
CUPY_OPTIONS = ("-ftz=true",)

pytestmark = pytest.mark.skipif(
    nvrtc.library() is None, reason="needs the package nvidia-cuda-nvrtc-cu12 (Linux)"
)


@pytest.mark.parametrize("dtype", C_TYPES)
@pytest.mark.parametrize("architecture", ["sm_70", "sm_80", "sm_90"])
def test_nvrtc_compiles_all_kernels(dtype, architecture):
    options = [f"--gpu-architecture={architecture}", *compile_options(dtype), *CUPY_OPTIONS]
    binary = nvrtc.compiled(kernel_source(), options)
    names = [name for name, _ in declarations()]
    assert len(names) >= 8
    for name in names:
        assert f".text.{name}".encode() in binary


def test_a_broken_kernel_is_noticed():
    with pytest.raises(ValueError, match="undefined"):
        nvrtc.compiled(kernel_source().replace("atomicMax", "atomicMost"), ["-DREAL=float"])
