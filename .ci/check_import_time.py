"""Check what `import sklearn_eqprop` costs: neither cupy nor matplotlib, and under 0.3 s.

The time is what the import adds to `import sklearn.neural_network`, median over fresh interpreters.
"""

import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

LIMIT = 0.3
RUNS = 7
FORBIDDEN = ("cupy", "matplotlib")

PROBE = f"""
import sys, time
import sklearn.neural_network
start = time.perf_counter()
import sklearn_eqprop
elapsed = time.perf_counter() - start
print(elapsed, *(name for name in {FORBIDDEN!r} if name in sys.modules))
"""


def probe(stand_ins):
    """Import in a fresh interpreter; return the seconds added and the forbidden modules loaded."""
    path = os.pathsep.join(filter(None, [os.environ.get("PYTHONPATH"), stand_ins]))
    done = subprocess.run(
        [sys.executable, "-c", PROBE],
        env={**os.environ, "PYTHONPATH": path},
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    seconds, *loaded = done.stdout.split()
    return float(seconds), loaded


def main():
    with tempfile.TemporaryDirectory() as stand_ins:
        # An empty module for each, so that a guarded import cannot hide behind an ImportError.
        for name in FORBIDDEN:
            Path(stand_ins, f"{name}.py").touch()
        probe(stand_ins)  # the first run compiles
        seconds, loaded = zip(*(probe(stand_ins) for _ in range(RUNS)), strict=True)
    median = statistics.median(seconds)
    print(f"import sklearn_eqprop adds {median:.3f} s (median of {RUNS}, limit {LIMIT} s)")
    problems = [f"import sklearn_eqprop imports {name}" for name in sorted(set().union(*loaded))]
    if median >= LIMIT:
        problems.append(f"import sklearn_eqprop is too slow: {median:.3f} s >= {LIMIT} s")
    return "\n".join(problems) or 0


if __name__ == "__main__":
    sys.exit(main())
