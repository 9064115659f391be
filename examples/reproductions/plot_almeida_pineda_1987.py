"""
===============================================
Almeida, Pineda 1987: recurrent backpropagation
===============================================

Almeida (1987) and Pineda (1987) found how to compute the gradient of a network that settles: let
the network settle, then let the errors settle in a second, linear network with the transposed
weights. This is ``gradient='recurrent_backprop'``. We compare this gradient with finite differences
for every weight, and let the network learn XOR.

::

    python examples/reproductions/plot_almeida_pineda_1987.py
"""

# %%
# A network with loops
# --------------------
#
# Two inputs drive four hidden units, and these drive two outputs, one for each class. The hidden
# units also drive each other, and the outputs drive the hidden units. All weights are random.

import matplotlib.pyplot as plt
import numpy as np
from common import update

from sklearn_eqprop import EqPropClassifier

SEEDS = 10
EPOCHS = 200
LEARNED = 0.02  # XOR is learned if the mean loss is below this number

X = np.array([[-1.0, -1], [-1, 1], [1, -1], [1, 1]])
y = np.array([0, 1, 1, 0])


def network(seed):
    return EqPropClassifier(
        4,
        activation="tanh",
        connections=[(0, 1), (1, 1), (1, 2), (2, 1)],
        gradient="recurrent_backprop",
        feedback_init="independent",
        feedback_learning="local",
        feedback_scale=1.0,
        loop_gain=0.9,
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


# %%
# Every derivative
# ----------------
#
# A gradient step of rate 1 changes each weight by minus its derivative. We also move each weight by
# a small number, let the network settle, and look how the loss changes.

model = network(seed=0).set_params(learning_rate_init=1e-12).partial_fit(X, y, classes=[0, 1])


def loss():
    error = np.eye(2)[y] - model.relax(X).states[-1]
    return 0.5 * (error**2).sum(axis=1).mean()


def minus_slope(weights, place, h=1e-4):
    """Return minus the derivative of the loss by one weight."""
    here, losses = weights[place], []
    for shift in (h, -h):
        weights[place] = here + shift
        losses.append(loss())
    weights[place] = here
    return (losses[1] - losses[0]) / (2 * h)


settled = update(model, X, y, loop_gain=None)
arrays = [*model.coefs_, *model.intercepts_, *model.feedback_coefs_]
differences = np.array([minus_slope(a, place) for a in arrays for place in np.ndindex(a.shape)])
error = np.abs(settled - differences).max() / np.abs(differences).max()
print(f"{len(settled)} derivatives, largest difference: {error:.0e} of the largest derivative")

# %%
# It learns
# ---------
#
# Ten networks learn XOR, each from its own random weights.

curves = [network(seed).set_params(relax_tol="auto").fit(X, y).loss_curve_ for seed in range(SEEDS)]
epochs = [int(np.argmax(np.array(curve) < LEARNED)) + 1 for curve in curves if min(curve) < LEARNED]

figure, (left, right) = plt.subplots(1, 2, figsize=(10, 4), layout="constrained")
left.plot(differences, settled, "o")
left.axline((0, 0), slope=1, color="grey", linewidth=1)
left.set(
    xlabel="finite difference", ylabel="recurrent backpropagation", title="Minus the derivatives"
)
right.semilogy(np.transpose(curves), color="C0", alpha=0.5)
right.axhline(LEARNED, color="grey", linestyle="--")
right.set(xlabel="epoch", ylabel="loss", title="XOR, ten starts")
plt.show()

print(
    f"Result: derivatives within {error:.0e} of finite differences; XOR learned from {len(epochs)} "
    f"of {SEEDS} starts, median {np.median(epochs):.0f} epochs"
)
