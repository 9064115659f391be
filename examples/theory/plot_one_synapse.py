"""
===================
One synapse by hand
===================

This page is a short lecture. A network learns one step, and we compute the same step with NumPy:
let the network settle, nudge its output, let it settle again, and multiply two numbers for each
synapse. At the end, the two results agree up to rounding, and we see how the step is related to the
gradient.

The equations are in :doc:`/theory`. The source is Scellier et al. 2018 (arXiv:1808.04873).
"""

# %%
# A network with eight units
# --------------------------
#
# The data are 150 iris flowers with four measurements. The network has four inputs, five hidden
# units and three outputs, one for each species. We choose the paper's plain settings: squared
# error, gradient descent without momentum, feedback weights that learn by their own product. The
# first ``partial_fit`` creates the weights and makes one step.

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_iris
from sklearn.preprocessing import StandardScaler

from sklearn_eqprop import EqPropClassifier

BETA, RATE = 0.5, 0.1

X, species = load_iris(return_X_y=True)
X = StandardScaler().fit_transform(X)
target = np.eye(3)[species]

model = EqPropClassifier(
    5,
    loss="squared_error",
    beta=BETA,
    nudging="one_sided",
    optimizer="sgd",
    momentum=0,
    learning_rate_init=RATE,
    feedback_learning="local",
    layerwise_rescale=False,
    loop_gain=None,
    alpha=0,
    batch_size=len(X),
    relax_tol=1e-12,
    max_relax_iter=1000,
    max_nudge_iter=1000,
    random_state=4,
)
model.partial_fit(X, species, classes=[0, 1, 2])

F1, F2 = (weights.copy() for weights in model.coefs_)
b1, b2 = (biases.copy() for biases in model.intercepts_)
B = model.feedback_coefs_[0].copy()
print("forward ", F1.shape, F2.shape)
print("feedback", B.shape)

# %%
# The network settles
# -------------------
#
# Each unit moves towards its drive: the weighted sum of the rates that arrive. The hidden units see
# the inputs, by :math:`F_1`, and the outputs, by :math:`B`. The outputs see the hidden units, by
# :math:`F_2`. With :math:`\rho(h) = \max(h, 0)`,
#
# .. math::
#
#    \dot h = x F_1 + o B + b_1 - h, \qquad \dot o = \rho(h) F_2 + b_2 - o + \beta\, (y - o).
#
# The last term is the nudge. In the *free phase*, :math:`\beta` is 0. Hidden states stay at 0 or
# above, so :math:`\rho(h) = h`. The function below makes small steps of this equation and keeps all
# of them.


def settle(h, o, beta, n_steps, step=0.2):
    """Return the hidden and the output states after each step."""
    path = [(h, o)]
    for _ in range(n_steps):
        h_moves = X @ F1 + o @ B + b1 - h
        o_moves = h @ F2 + b2 - o + beta * (target - o)
        h, o = np.maximum(h + step * h_moves, 0), o + step * o_moves
        path.append((h, o))
    return [np.array(states) for states in zip(*path, strict=True)]


rest = np.zeros((len(X), 5)), np.zeros((len(X), 3))
h_free, o_free = settle(*rest, beta=0, n_steps=300)
h_nudged, o_nudged = settle(h_free[-1], o_free[-1], beta=BETA, n_steps=300)

free, nudged = model.relax(X), model.relax(X, species, beta=BETA)
print("relax:", free.reason)
print(f"free phase, largest difference:   {np.abs(o_free[-1] - free.states[1]).max():.0e}")
print(f"nudged phase, largest difference: {np.abs(o_nudged[-1] - nudged.states[1]).max():.0e}")

# %%
# Our loop and ``relax`` reach the same two equilibria. The picture shows them for one flower. At
# the dashed line the nudge begins. It pulls each output towards its target, which is 1 for the
# species of the flower and 0 for the others. The hidden units feel this through the feedback
# weights.

flower, shown = 8, 40
figure, axes = plt.subplots(2, 1, figsize=(8, 5.5), sharex=True, layout="constrained")
for ax, first, second, name in (
    (axes[0], o_free, o_nudged, "output"),
    (axes[1], h_free, h_nudged, "hidden"),
):
    path = np.concatenate([first[:shown, flower], second[:shown, flower]])
    for unit, states in enumerate(path.T):
        ax.plot(0.2 * np.arange(len(path)), states, label=f"{name} {unit}")
    ax.axvline(0.2 * shown, color="grey", linestyle="--")
    ax.set(ylabel="state")
    ax.legend(loc="center left", bbox_to_anchor=(1, 0.5))
axes[0].set_title(f"Flower {flower} (species {species[flower]}): free phase, then nudged phase")
axes[1].set_xlabel("time, in time constants of a unit")
plt.show()

# %%
# One synapse
# -----------
#
# A synapse from unit :math:`j` to unit :math:`i` sees two numbers: the rate of :math:`j` in the
# free phase, and how far the nudge has moved :math:`i`, in units of :math:`\beta`. Their product is
# its share of the update. Take the synapse from the third input (petal length) to the hidden unit
# that moved most, for the same flower:

dh = (nudged.states[0] - free.states[0]) / BETA
do = (nudged.states[1] - free.states[1]) / BETA

j, i = 2, np.abs(dh[flower]).argmax()
print(f"rate of input {j}:                   {X[flower, j]:+.4f}")
print(f"displacement of hidden unit {i}:     {dh[flower, i]:+.4f}")
print(f"product:                           {X[flower, j] * dh[flower, i]:+.4f}")

# %%
# All synapses between two layers at once are an outer product.

products = np.outer(X[flower], dh[flower])
limit = np.abs(products).max()
figure, axes = plt.subplots(
    2, 2, figsize=(6.5, 4.6), width_ratios=(1, 5), height_ratios=(1, 4), layout="constrained"
)
axes[0, 0].axis("off")
style = {"cmap": "RdBu_r", "aspect": "auto"}
for ax, values, size, title in (
    (axes[0, 1], dh[[flower]], np.abs(dh[flower]).max(), "displacement of the hidden units"),
    (axes[1, 0], X[[flower]].T, np.abs(X[flower]).max(), "rate of\nthe inputs"),
    (axes[1, 1], products, limit, "change of each synapse"),
):
    ax.imshow(values, vmin=-size, vmax=size, **style)
    ax.set(xticks=[], yticks=[], title=title)
    for (row, column), value in np.ndenumerate(values):
        colour = "white" if abs(value) > 0.6 * size else "black"
        ax.text(column, row, f"{value:+.2f}", ha="center", va="center", color=colour)
plt.show()

# %%
# The package makes the same step
# -------------------------------
#
# The update is the mean of these products over the flowers, times the learning rate. Feedback
# weights learn in the same way: rate of the output times displacement of the hidden unit. A bias
# has a rate of 1. Now ``partial_fit`` makes its step, and we compare.

by_hand = {
    "F1": X.T @ dh,
    "F2": free.states[0].T @ do,
    "B": free.states[1].T @ dh,
    "b1": dh.sum(axis=0),
    "b2": do.sum(axis=0),
}
by_hand = {name: RATE * change / len(X) for name, change in by_hand.items()}

model.partial_fit(X, species)
by_package = {
    "F1": model.coefs_[0] - F1,
    "F2": model.coefs_[1] - F2,
    "B": model.feedback_coefs_[0] - B,
    "b1": model.intercepts_[0] - b1,
    "b2": model.intercepts_[1] - b2,
}
print("      largest change   largest difference")
for name, change in by_hand.items():
    difference = np.abs(change - by_package[name]).max()
    print(f"{name:5} {np.abs(change).max():14.6f} {difference:20.0e}")
    assert difference < 1e-7

# %%
# Nobody computed a derivative
# ----------------------------
#
# Yet the products are almost proportional to minus the derivative of the loss. To see this, we move
# each weight by a small number, let the network settle, and look how the loss at the equilibrium
# changes.

model.coefs_, model.intercepts_, model.feedback_coefs_ = [F1, F2], [b1, b2], [B]


def loss():
    return 0.5 * ((target - model.relax(X).states[1]) ** 2).sum(axis=1).mean()


def minus_gradient(layer, h=1e-4):
    """Return minus the derivative of the loss by each weight of one layer."""
    coefs = [F1.copy(), F2.copy()]
    slopes = np.empty_like(coefs[layer])
    for place in np.ndindex(slopes.shape):
        losses = []
        for shift in (h, -h):
            coefs[layer][place] += shift
            model.coefs_ = coefs
            losses.append(loss())
            coefs[layer][place] -= shift
        slopes[place] = (losses[1] - losses[0]) / (2 * h)
    return slopes


slopes = [minus_gradient(layer) for layer in (0, 1)]
gamma = np.linalg.norm(B) / np.linalg.norm(F2)
figure, axes = plt.subplots(1, 2, figsize=(9, 4.2), layout="constrained")
for ax, exact, name, factor in zip(axes, slopes, ("F1", "F2"), (gamma, 1), strict=True):
    product = by_hand[name] / RATE
    cosine = (exact * product).sum() / np.linalg.norm(exact) / np.linalg.norm(product)
    print(f"{name}: cosine of the products with minus the gradient {cosine:.3f}")
    ax.plot(exact, product, "o", color="C0")
    ends = np.array([exact.min(), exact.max()])
    line = factor / (1 + BETA) * ends
    ax.plot(ends, line, color="grey", linewidth=1, label=f"slope {factor:.2f} / (1 + β)")
    ax.set(
        xlabel="minus the derivative of the loss", ylabel="product of the two phases", title=name
    )
    ax.grid(alpha=0.3)
    ax.legend()
plt.show()

# %%
# The points lie near two lines. Both slopes have the factor :math:`1 / (1 + \beta)`, because the
# force :math:`\beta\, (y - o)` becomes weaker while the output comes closer to the target. The line
# of :math:`F_1` is flatter: feedback is weaker than the forward weights, by the factor
# :math:`\gamma = \lVert B \rVert / \lVert F_2 \rVert`, and so is the nudge that arrives at the
# hidden units. ``layerwise_rescale=True``, the default, divides by :math:`\gamma`.
#
# To try: set ``BETA = 0.01``. Or replace :math:`B` by random numbers: then the products of
# :math:`F_1` no longer follow the gradient.
# :ref:`sphx_glr_auto_examples_theory_plot_theorem_1_angle.py` measures by how much.
