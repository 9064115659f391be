"""Creating a backend leaves the allocator of the process alone."""

import tracemalloc

from sklearn_eqprop._backend import get_backend


def test_no_large_block_is_allocated():
    # Freeing a large block raises glibc's thresholds for the whole process.
    tracemalloc.start()
    try:
        get_backend("numpy")
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 2**16
