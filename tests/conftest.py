"""Settings of every test process."""

import os

# The tests run in several processes. More threads than cores would wait for each other. This must
# be set before NumPy is imported.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
