"""What the block of memory is worth that the NumPy backend frees once per process.

It compares processor time with and without this block, in alternating fresh processes with one
thread, and writes medians to results/allocator.md. Needs glibc.
"""

import argparse
import os
import statistics
import subprocess
import sys
from pathlib import Path

from environment import describe_environment

TASKS = {
    "fit, classifier, 20 epochs, (100,)": "EqPropClassifier(max_iter=20, random_state=0).fit(X, y)",
    "fit, regressor, 20 epochs, (100,)": "EqPropRegressor(max_iter=20, random_state=0).fit(X, y)",
    "fit, classifier, 8 epochs, (256, 256)": (
        "EqPropClassifier((256, 256), max_iter=8, random_state=0).fit(X, y)"
    ),
}
PROGRAM = """
import sys, time, warnings
warnings.simplefilter("ignore")
from sklearn.datasets import load_digits
from sklearn_eqprop import EqPropClassifier, EqPropRegressor
from sklearn_eqprop._backend import host
if sys.argv[1] == "without":
    host._keep_freed_memory = lambda: None
X, y = load_digits(return_X_y=True)
X = X / 16
{task}
start = time.process_time()
{task}
print(time.process_time() - start)
"""


def seconds(task, way):
    """Processor time of a task in a fresh process, after the same task once to warm up."""
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM.format(task=task), way],
        env=os.environ | {"OPENBLAS_NUM_THREADS": "1"},
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    return float(done.stdout)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=9, help="processes per task and way")
    arguments = parser.parse_args()
    lines = [
        "# What the freed block of memory is worth",
        "",
        describe_environment(),
        "",
        f"Digits, one thread, processor time, medians of {arguments.repeats} processes each.",
        "",
        "| task | with | without | ratio |",
        "|---|---|---|---|",
    ]
    for name, task in TASKS.items():
        pairs = [
            (seconds(task, "with"), seconds(task, "without")) for _ in range(arguments.repeats)
        ]
        ways = [statistics.median(way) for way in zip(*pairs, strict=True)]
        ratio = statistics.median(without / own for own, without in pairs)
        lines.append(f"| {name} | {ways[0]:.3f} s | {ways[1]:.3f} s | {ratio:.2f} |")
    text = "\n".join(lines) + "\n"
    print(text)
    Path(__file__).parent.joinpath("results", "allocator.md").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
