"""
=========================================
Theorem 1: the angle follows the symmetry
=========================================

Equilibrium propagation follows ν(θ). It is minus the gradient of the objective if the Jacobian A of
the dynamics is symmetric (Theorem 1, Scellier et al. 2018). This example varies the symmetry: the
feedback of a network is replaced by

    B_l = a F_{l+1}^T + sqrt(1 - a²) G_l,

with a random G_l of the same size, orthogonal to F_{l+1}^T. At a = 1 weights are symmetric, and so
is A (hard-sigmoid units at a bound drop out of it). At a = 0 feedback is unrelated to the forward
weights.

Left and middle: cosine of ν with -dJ/dθ for the forward weights of each layer, over a. If the
weights are random, an error signal that passes k feedback connections keeps a fraction of about
a^k (dotted). In a trained network less symmetry is enough. Right: the cosine over all parameters
against the measured symmetry of A.

::

    python examples/plot_theorem_1_angle.py
"""

import argparse

import matplotlib

matplotlib.use("Agg")  # draws into a file, needs no screen

import matplotlib.pyplot as plt
import numpy as np
from sklearn.base import clone
from sklearn.datasets import load_digits
from sklearn.preprocessing import StandardScaler

from sklearn_eqprop import EqPropClassifier
from sklearn_eqprop.diagnostics import gradient_alignment, jacobian_symmetry

CLASSES = np.arange(10)


def parse(argv=None):
    parser = argparse.ArgumentParser(description="Theorem 1 as symmetry is dialled.")
    parser.add_argument("--hidden", type=int, nargs="+", default=[64, 64, 64])
    parser.add_argument("--epochs", type=int, default=15)
    parser.add_argument("--train-rows", type=int, default=1500)
    parser.add_argument("--rows", type=int, default=200, help="samples to look at")
    parser.add_argument("--points", type=int, default=11, help="settings of the dial")
    parser.add_argument("--draws", type=int, default=3, help="random feedbacks per setting")
    parser.add_argument("--output", metavar="PATH", default="theorem_1_angle.png")
    return parser.parse_args(argv)


def untied_copy(tied, X, y):
    """Return an estimator with symmetric weights whose feedback can be assigned.

    Feedback is B = γ F^T. With sqrt(γ) F and its transpose the loops are as strong as before.
    """
    model = EqPropClassifier(**tied.get_params()).set_params(feedback="untied")
    model.partial_fit(X, y, classes=CLASSES)
    scales = [1.0, *np.sqrt(tied.feedback_gains_)]
    model.coefs_ = [scale * coef for scale, coef in zip(scales, tied.coefs_, strict=True)]
    model.intercepts_ = tied.intercepts_
    return model


def dialled(forward, a, rng):
    """Return feedback with cosine a to the transposed forward weights."""
    transposed = forward.T
    other = rng.standard_normal(transposed.shape)
    other -= transposed * (other * transposed).sum() / (transposed**2).sum()
    other *= np.linalg.norm(transposed) / np.linalg.norm(other)
    return a * transposed + np.sqrt(1 - a**2) * other


def measure(model, X, y, dial, n_draws):
    """Return the cosines of the forward weights, overall cosine and symmetry, (dial, draw, ...)."""
    cosines, overall, symmetry = [], [], []
    for a in dial:
        for draw_number in range(n_draws):
            rng = np.random.RandomState(draw_number)
            model.feedback_coefs_ = [dialled(coef, a, rng) for coef in model.coefs_[1:]]
            found = gradient_alignment(model, X, y)
            cosines.append([b.cosine for b in found.blocks if b.role == "forward"])
            overall.append(found.overall)
            symmetry.append(jacobian_symmetry(model, X).coupling)
    shape = (len(dial), n_draws)
    return (
        np.array(cosines).reshape(*shape, -1),
        np.array(overall).reshape(shape),
        np.array(symmetry).reshape(shape),
    )


def draw(path, dial, measured):
    figure, axes = plt.subplots(1, 3, figsize=(14, 4.4), layout="constrained")
    for ax, (name, (cosines, _, _)) in zip(axes, measured.items(), strict=False):
        n_layers = cosines.shape[2]
        fine = np.linspace(0, 1, 101)
        colours = matplotlib.colormaps["viridis"](np.linspace(0, 0.9, n_layers))
        for layer, colour in enumerate(colours, start=1):
            mean = cosines[:, :, layer - 1].mean(axis=1)
            ax.plot(dial, mean, marker=".", color=colour, label=f"$F_{layer}$")
            ax.plot(fine, fine ** (n_layers - layer), color=colour, linestyle=":", linewidth=1)
        ax.plot([], [], color="grey", linestyle=":", label="$a^k$")
        ax.set(
            xlabel="a, share of the feedback along $F^T$",
            ylabel="cosine of ν with $-dJ/d\\theta$",
            title=f"{name}, layer by layer",
            ylim=(-0.3, 1.05),
        )
        ax.legend(loc="lower right")
    for name, (_, overall, symmetry) in measured.items():
        axes[-1].plot(symmetry.mean(axis=1), overall.mean(axis=1), marker="o", label=name)
    axes[-1].set(
        xlabel="symmetry of A + 1",
        ylabel="cosine over all parameters",
        title="Theorem 1: all parameters",
        ylim=(None, 1.02),
    )
    axes[-1].legend(loc="lower right")
    for ax in axes:
        ax.grid(alpha=0.3)
    figure.savefig(path, dpi=120)
    plt.close(figure)


def main(argv=None):
    options = parse(argv)
    X, y = load_digits(return_X_y=True)
    X = StandardScaler().fit_transform(X)
    X_train, y_train = X[: options.train_rows], y[: options.train_rows]
    tied = EqPropClassifier(
        options.hidden,
        activation="hard_sigmoid",
        feedback="tied",
        loop_gain=0.5,
        learning_rate="cosine",
        random_state=0,
    )
    # One pass with a tiny learning rate brings the random weights within the bound on the loops.
    untrained = (
        clone(tied).set_params(learning_rate_init=1e-12).partial_fit(X_train, y_train, CLASSES)
    )
    trained = tied.set_params(max_iter=options.epochs).fit(X_train, y_train)
    rows = slice(-options.rows, None)
    dial = np.linspace(0, 1, options.points)
    measured = {}
    for name, network in (("Untrained", untrained), ("Trained", trained)):
        model = untied_copy(network, X[:200], y[:200])
        measured[name] = measure(model, X[rows], y[rows], dial, options.draws)
        print(f"{name}\n   a   symmetry   cosine   of F_1, F_2, ...")
        for a, of_layers, total, degree in zip(dial, *measured[name], strict=True):
            words = " ".join(f"{value:+.2f}" for value in of_layers.mean(axis=0))
            print(f"{a:5.2f} {degree.mean():9.3f} {total.mean():+9.3f}   {words}")
    draw(options.output, dial, measured)
    print(f"Picture: {options.output}")


if __name__ == "__main__":
    main()
