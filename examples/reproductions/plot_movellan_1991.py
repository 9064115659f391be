"""
===========================================
Movellan 1991: contrastive Hebbian learning
===========================================

Contrastive Hebbian learning compares two equilibria of a network with symmetric weights. In the
free phase only the inputs are held. In the clamped phase the outputs are held at the targets, too.
Each weight changes by the product of its two units in the clamped phase, minus their product in
the free phase. In this package it is ``feedback='tied', beta=float('inf')``.

Movellan showed that this rule descends a *contrastive function*: the energy of the clamped
equilibrium minus the energy of the free one. We check it by finite differences.

::

    python examples/reproductions/plot_movellan_1991.py
"""

# %%
# A network with an energy
# ------------------------
#
# The same weights lead from the hidden units to the outputs and back. With the rates
# :math:`r = \rho(s)` of the hidden units, :math:`\rho` the logistic function, and the outputs
# :math:`o`, the network settles at a minimum of
#
# .. math::
#
#    E = -x F_1 r^\top - r F_2\, o^\top - b_1 r^\top - b_2\, o^\top
#        + \sum_i \bigl[ r_i \log r_i + (1 - r_i) \log(1 - r_i) \bigr]
#        + \tfrac12 \lVert o \rVert^2 .

import matplotlib.pyplot as plt
import numpy as np
from common import update

from sklearn_eqprop import EqPropClassifier

SEEDS = 10
EPOCHS = 600

X = np.array([[-1.0, -1], [-1, 1], [1, -1], [1, 1]])
y = np.array([0, 1, 1, 0])


def network(seed):
    return EqPropClassifier(
        4,
        activation="logistic",
        feedback="tied",
        feedback_scale=1.0,
        loop_gain=None,
        beta=float("inf"),
        layerwise_rescale=False,
        loss="squared_error",
        optimizer="sgd",
        learning_rate_init=0.1,
        alpha=0,
        max_iter=EPOCHS,
        n_iter_no_change=None,
        relax_tol=1e-12,
        max_relax_iter=1000,
        max_nudge_iter=1000,
        random_state=seed,
    )


def energy(model, result):
    """Return the mean energy of the states of a phase."""
    (F1, F2), (b1, b2) = model.coefs_, model.intercepts_
    r, o = 1 / (1 + np.exp(-result.states[0])), result.states[1]
    driven = ((X @ F1 + o @ F2.T + b1) * r).sum(axis=1) + o @ b2
    entropy = (r * np.log(r) + (1 - r) * np.log(1 - r)).sum(axis=1)
    return (entropy + 0.5 * (o**2).sum(axis=1) - driven).mean()


# %%
# The rule descends the contrastive function
# ------------------------------------------
#
# We compare a step of rate 1 with minus the finite difference, for every weight.

model = network(seed=0).set_params(learning_rate_init=1e-12).partial_fit(X, y, classes=[0, 1])


def contrast():
    free, clamped = model.relax(X), model.relax(X, y, beta=float("inf"))
    return energy(model, clamped) - energy(model, free)


def minus_slope(weights, place, h=1e-4):
    """Return minus the derivative of the contrastive function by one weight."""
    here, values = weights[place], []
    for shift in (h, -h):
        weights[place] = here + shift
        values.append(contrast())
    weights[place] = here
    return (values[1] - values[0]) / (2 * h)


arrays = [*model.coefs_, *model.intercepts_]
differences = np.array([minus_slope(a, place) for a in arrays for place in np.ndindex(a.shape)])
step = update(model, X, y)
error = np.abs(step - differences).max() / np.abs(differences).max()
print(f"{len(step)} weights, largest difference: {error:.0e} of the largest step")

# %%
# XOR
# ---
#
# Ten networks learn XOR, each from its own random weights.

models = [network(seed).set_params(relax_tol="auto").fit(X, y) for seed in range(SEEDS)]
learned = sum(model.score(X, y) == 1 for model in models)

figure, (left, right) = plt.subplots(1, 2, figsize=(10, 4), layout="constrained")
left.plot(differences, step, "o")
left.axline((0, 0), slope=1, color="grey", linewidth=1)
left.set(
    xlabel="minus the slope of the contrastive function",
    ylabel="step of contrastive Hebbian learning",
    title="Each weight",
)
right.semilogy(np.transpose([model.loss_curve_ for model in models]), color="C0", alpha=0.5)
right.set(xlabel="epoch", ylabel="loss", title="XOR, ten starts")
plt.show()

print(
    f"Result: steps within {error:.0e} of the slope of the contrastive function; XOR learned from "
    f"{learned} of {SEEDS} starts"
)
