"""Arrays on a CUDA device, through CuPy."""
