"""
=======================================
Settling, and error signals coming down
=======================================

A network settles from the input up. Then its output is nudged, and the change comes down. This
change *is* the error signal: the velocity of each layer, in units of the nudge, is its error
derivative (Theorem 4, Scellier et al. 2018). It starts at the output and arrives layer by layer.

Left, the free phase: the distance of each layer from its equilibrium. Right, the nudged phase: the
velocity σ of each layer, in units of its own peak; the legend gives the size of the peak. Feedback
is weaker than the forward weights, so the signal becomes smaller on its way.
``layerwise_rescale`` corrects this.

::

    python examples/plot_error_signals.py
"""

import argparse
import copy
import warnings

import matplotlib

matplotlib.use("Agg")  # draws into a file, needs no screen

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_digits
from sklearn.exceptions import ConvergenceWarning
from sklearn.preprocessing import StandardScaler

from sklearn_eqprop import EqPropClassifier
from sklearn_eqprop.diagnostics import error_processes

#: Euler step of both phases, in time constants of a unit.
STEP = 0.1


def parse(argv=None):
    parser = argparse.ArgumentParser(description="Two phases, layer by layer.")
    parser.add_argument("--hidden", type=int, nargs="+", default=[64, 64, 64, 64])
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--train-rows", type=int, default=1500)
    parser.add_argument("--rows", type=int, default=100, help="samples to look at")
    parser.add_argument("--time", type=float, default=16.0, help="length of both phases")
    parser.add_argument("--output", metavar="PATH", default="error_signals.png")
    return parser.parse_args(argv)


def free_phase(model, X, times):
    """Return each layer's distance from its equilibrium at each time, in units of its length."""
    rest = model.relax(X).states
    watched = copy.deepcopy(model).set_params(relaxation="euler", step_size=STEP)
    distance = []
    for time in times:
        # A phase that is cut off shows the states on the way to the equilibrium.
        watched.set_params(max_relax_iter=max(1, round(time / STEP)))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            states = watched.relax(X).states
        distance.append(
            [np.linalg.norm(s - r) / np.linalg.norm(r) for s, r in zip(states, rest, strict=True)]
        )
    return np.array(distance)


def draw(path, times, distance, processes):
    figure, (left, right) = plt.subplots(1, 2, figsize=(11, 4.4), layout="constrained")
    colours = matplotlib.colormaps["viridis"](np.linspace(0, 0.9, distance.shape[1]))
    for layer, colour in enumerate(colours, start=1):
        left.plot(times, distance[:, layer - 1], color=colour, label=f"layer {layer}")
        size = processes.sigma_size[:, layer - 1]
        label = f"layer {layer}, peak {size.max():.0e}"
        right.plot(processes.times, size / size.max(), color=colour, label=label)
    left.set(
        yscale="log",
        ylim=(1e-4, 2),
        ylabel="distance from the equilibrium / its length",
        title="Free phase: layers settle from the input up",
    )
    right.set(
        ylabel="|σ| / its peak", title="Nudged phase: the error signal comes down", ylim=(0, 1.05)
    )
    for ax in (left, right):
        ax.set(xlabel="time, in time constants of a unit", xlim=(0, times[-1]))
        ax.grid(alpha=0.3)
        ax.legend()
    figure.savefig(path, dpi=120)
    plt.close(figure)


def main(argv=None):
    options = parse(argv)
    X, y = load_digits(return_X_y=True)
    X = StandardScaler().fit_transform(X)
    model = EqPropClassifier(
        options.hidden,
        activation="tanh",
        loop_gain=0.8,
        max_iter=options.epochs,
        learning_rate="cosine",
        random_state=0,
    ).fit(X[: options.train_rows], y[: options.train_rows])
    rows = slice(-options.rows, None)
    times = np.arange(STEP, options.time, 3 * STEP)
    distance = free_phase(model, X[rows], times)
    processes = error_processes(
        model, X[rows], y[rows], step_size=STEP, max_time=options.time, tol=0, n_records=100
    )
    print("layer   settled to 1 % at   error signal peaks at    peak")
    for layer in range(distance.shape[1]):
        inside = distance[:, layer] < 0.01
        settled = f"{times[inside.argmax()]:.1f}" if inside.any() else "later"
        size = processes.sigma_size[:, layer]
        print(
            f"{layer + 1:5d} {settled:>19} {processes.times[size.argmax()]:23.1f} {size.max():7.0e}"
        )
    draw(options.output, times, distance, processes)
    print(f"Picture: {options.output}")


if __name__ == "__main__":
    main()
