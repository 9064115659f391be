"""
=========================================
Theorem 1: the angle follows the symmetry
=========================================

Equilibrium propagation follows ν(θ). It is minus the gradient of the objective if the Jacobian A of
the dynamics is symmetric (Theorem 1, Scellier et al. 2018). This example varies the symmetry of a
network, and measures the angle between ν and minus the gradient.
"""

# %%
# A dial for symmetry
# -------------------
#
# The feedback of a network is replaced by
#
# .. math:: B_l = a F_{l+1}^\top + \sqrt{1 - a^2}\, G_l
#
# with a random :math:`G_l` of the same size, orthogonal to :math:`F_{l+1}^\top`. At :math:`a = 1`
# weights are symmetric, and so is A (hard-sigmoid units at a bound drop out of it). At :math:`a =
# 0` feedback is unrelated to the forward weights.

import matplotlib.pyplot as plt
import numpy as np
from sklearn.base import clone
from sklearn.datasets import load_digits
from sklearn.preprocessing import StandardScaler

from sklearn_eqprop import EqPropClassifier
from sklearn_eqprop.diagnostics import gradient_alignment, jacobian_symmetry

HIDDEN = (64, 64, 64)
EPOCHS = 15
TRAIN_ROWS = 1500
ROWS = 200  # samples to look at
POINTS = 11  # settings of the dial
DRAWS = 3  # random feedbacks per setting
CLASSES = np.arange(10)


def dialled(forward, a, rng):
    """Return feedback with cosine a to the transposed forward weights."""
    transposed = forward.T
    other = rng.standard_normal(transposed.shape)
    other -= transposed * (other * transposed).sum() / (transposed**2).sum()
    other *= np.linalg.norm(transposed) / np.linalg.norm(other)
    return a * transposed + np.sqrt(1 - a**2) * other


# %%
# An untrained and a trained network
# ----------------------------------
#
# Both have tied weights at first, with feedback :math:`\gamma F^\top`. Tied feedback cannot be
# assigned, so we copy them into networks with untied weights: :math:`\sqrt{\gamma} F` and its
# transpose make loops that are as strong as before.

X, y = load_digits(return_X_y=True)
X = StandardScaler().fit_transform(X)
X_train, y_train = X[:TRAIN_ROWS], y[:TRAIN_ROWS]
X_seen, y_seen = X[-ROWS:], y[-ROWS:]

tied = EqPropClassifier(
    HIDDEN,
    activation="hard_sigmoid",
    feedback="tied",
    loop_gain=0.5,
    learning_rate="cosine",
    max_iter=EPOCHS,
    random_state=0,
)
# One pass with a tiny learning rate brings the random weights within the bound on the loops.
start = clone(tied).set_params(learning_rate_init=1e-12).partial_fit(X_train, y_train, CLASSES)
networks = {"Untrained": start, "Trained": tied.fit(X_train, y_train)}


def untied_copy(network):
    model = EqPropClassifier(**network.get_params()).set_params(feedback="untied")
    model.partial_fit(X[:200], y[:200], classes=CLASSES)  # makes the arrays
    scales = [1.0, *np.sqrt(network.feedback_gains_)]
    model.coefs_ = [scale * coef for scale, coef in zip(scales, network.coefs_, strict=True)]
    model.intercepts_ = network.intercepts_
    return model


# %%
# Measure
# -------
#
# ``gradient_alignment`` returns the cosine of ν with :math:`-dJ/d\theta`, for each block of
# parameters and over all. ``jacobian_symmetry`` measures how symmetric the connections are.

dial = np.linspace(0, 1, POINTS)
measured = {}
for name, network in networks.items():
    model = untied_copy(network)
    cosines = np.empty((POINTS, DRAWS, len(HIDDEN) + 1))
    overall, symmetry = np.empty((2, POINTS, DRAWS))
    for point, a in enumerate(dial):
        for draw in range(DRAWS):
            rng = np.random.RandomState(draw)
            model.feedback_coefs_ = [dialled(coef, a, rng) for coef in model.coefs_[1:]]
            found = gradient_alignment(model, X_seen, y_seen)
            cosines[point, draw] = [b.cosine for b in found.blocks if b.role == "forward"]
            overall[point, draw] = found.overall
            symmetry[point, draw] = jacobian_symmetry(model, X_seen).coupling
    measured[name] = [values.mean(axis=1) for values in (cosines, overall, symmetry)]
    print(f"{name}\n   a   symmetry   cosine   of F_1, F_2, ...")
    for a, of_layers, total, degree in zip(dial, *measured[name], strict=True):
        words = " ".join(f"{value:+.2f}" for value in of_layers)
        print(f"{a:5.2f} {degree:9.3f} {total:+9.3f}   {words}")

# %%
# Left and middle: cosine for the forward weights of each layer. If the weights are random, an error
# signal that passes k feedback connections keeps a fraction of about :math:`a^k` (dotted). In a
# trained network less symmetry is enough. Right: the cosine over all parameters against the
# measured symmetry of A.

figure, axes = plt.subplots(1, 3, figsize=(14, 4.4), layout="constrained")
fine = np.linspace(0, 1, 101)
for ax, (name, (cosines, overall, symmetry)) in zip(axes, measured.items(), strict=False):
    n_layers = cosines.shape[1]
    colours = plt.get_cmap("viridis")(np.linspace(0, 0.9, n_layers))
    for layer, colour in enumerate(colours, start=1):
        ax.plot(dial, cosines[:, layer - 1], marker=".", color=colour, label=f"$F_{layer}$")
        ax.plot(fine, fine ** (n_layers - layer), color=colour, linestyle=":", linewidth=1)
    ax.plot([], [], color="grey", linestyle=":", label="$a^k$")
    ax.set(
        xlabel="a, share of the feedback along $F^T$",
        ylabel="cosine of ν with $-dJ/d\\theta$",
        title=f"{name}, layer by layer",
        ylim=(-0.3, 1.05),
    )
    axes[-1].plot(symmetry, overall, marker="o", label=name)
axes[-1].set(
    xlabel="symmetry of A + 1",
    ylabel="cosine over all parameters",
    title="Theorem 1: all parameters",
    ylim=(None, 1.02),
)
for ax in axes:
    ax.grid(alpha=0.3)
    ax.legend(loc="lower right")
plt.show()
