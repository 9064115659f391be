"""Compare the speed on the CPU with scikit-learn's MLP and with a literal implementation.

    python benchmarks/speed.py --data mnist.npz --output benchmarks/results/speed.md

Both sides of every ratio are measured in the same run, alternating; a time is the median of
`--repeats`. ``--rows`` with names runs only some of the rows. Run nothing else on the machine
meanwhile: BLAS threads that wait for a busy core make every number meaningless. The rows
default_fits, partial_fits and predictions are an exception: they are processor time of one thread.
Their record is benchmarks/results/speed_small.md.
"""

from __future__ import annotations

import argparse
import warnings
from pathlib import Path

from datasets import load_images
from environment import describe_environment
from sklearn.exceptions import ConvergenceWarning
from speed_parts import hashed_text, memory, overhead, predictions, products, two_at_once
from speed_training import (
    against_literal,
    default_fits,
    long_training,
    partial_fits,
    time_to_error,
)

ROWS = {
    function.__name__: function
    for function in (
        against_literal,
        time_to_error,
        long_training,
        default_fits,
        partial_fits,
        predictions,
        hashed_text,
        overhead,
        products,
        memory,
        two_at_once,
    )
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="MNIST as an .npz file")
    parser.add_argument("--rows", nargs="*", choices=list(ROWS), default=list(ROWS))
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--output", type=Path)
    arguments = parser.parse_args()
    warnings.simplefilter("ignore", ConvergenceWarning)  # these fits are short on purpose
    data = load_images(arguments.data)
    lines = [
        "# Speed on the CPU",
        "",
        describe_environment(),
        "",
        f"Medians of {arguments.repeats}. MLP: scikit-learn's MLPClassifier of the same layers.",
        "",
        "| what | ours | the other | ratio | target |",
        "|---|---|---|---|---|",
    ]
    for name in arguments.rows:
        for row in ROWS[name](data, arguments.repeats):
            lines.append(f"| {' | '.join(row)} |")
            print(lines[-1], flush=True)
    if arguments.output:
        arguments.output.write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
