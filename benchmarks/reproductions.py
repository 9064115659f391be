"""Run the script of each paper with its default settings, and record its result line.

    python benchmarks/reproductions.py --output benchmarks/results/reproductions.md

Each script in ``examples/reproductions`` prints a line that begins with ``Result:``.
``docs/reproductions.md`` compares these results with the published ones.
"""

from __future__ import annotations

import os
import re
import resource
import subprocess
import sys
import tempfile
from pathlib import Path

from report import argument_parser, publish, table

ROOT = Path(__file__).resolve().parents[1]


def run(script: Path) -> tuple[str, float]:
    """Return the result line of a script and the seconds of processor time that it took."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    with tempfile.TemporaryDirectory() as folder:
        printed = subprocess.run(
            [sys.executable, str(script)],
            cwd=folder,  # some scripts write a picture
            env={**os.environ, "MPLBACKEND": "agg"},
            check=True,
            capture_output=True,
            text=True,
        ).stdout
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    result = re.search(r"^Result: (.+)$", printed, re.MULTILINE)
    if result is None:
        raise ValueError(f"{script.name} printed no line that begins with 'Result:'.")
    return result[1], after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def main() -> None:
    arguments = argument_parser(__doc__).parse_args()
    rows = []
    for script in sorted((ROOT / "examples" / "reproductions").glob("plot_*.py")):
        result, seconds = run(script)
        rows.append([script.name, result, f"{seconds:.0f}"])
        print(*rows[-1], sep=" | ", flush=True)
    publish(
        "Reproductions",
        "Each script of `examples/reproductions` with its default settings, on bundled data. "
        "Processor time.",
        table(["script", "result", "seconds"], rows),
        output=arguments.output,
    )


if __name__ == "__main__":
    main()
