"""
==========================================================
Ernoult et al. 2019: step by step, backpropagation in time
==========================================================

In the second phase of equilibrium propagation, the network moves to a new equilibrium. Ernoult et
al. (arXiv:1905.13633) look at each step of this movement. If the weights are symmetric, the first
step is minus the derivative of the loss by the last step of the free phase, the second step by the
last but one, and so on. Backpropagation through time computes the same derivatives, in reverse
order. (The paper calls it the *gradient-descending updates* property.)

We write backpropagation through time in NumPy, and compare all steps.

::

    python examples/reproductions/plot_ernoult_2019.py
"""

# %%
# Two networks
# ------------
#
# Both have two hidden layers of hard-sigmoid units. The first has symmetric weights, the second has
# random feedback. Neither is trained.

import warnings
from itertools import pairwise

import matplotlib.pyplot as plt
import numpy as np
from common import load_images
from sklearn.exceptions import ConvergenceWarning

from sklearn_eqprop import EqPropClassifier

HIDDEN = (40, 20)
EPSILON = 0.5  # step of the dynamics
FREE_STEPS = 1000
STEPS = 25  # steps of the nudged phase to look at
BETA = 1e-6
SAMPLES = 5

X, _, y, _ = load_images()
X, y, target = X[:SAMPLES].astype(float), y[:SAMPLES], np.eye(10)[y[:SAMPLES]]


def network(feedback_init):
    model = EqPropClassifier(
        HIDDEN,
        activation="hard_sigmoid",
        feedback_init=feedback_init,
        feedback_scale=1.0,
        loop_gain=None,
        loss="squared_error",
        relaxation="euler",
        step_size=EPSILON,
        max_relax_iter=FREE_STEPS,
        relax_tol=1e-300,  # no sample stops early
        learning_rate_init=1e-12,
        random_state=0,
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        return model.partial_fit(X, y, classes=np.arange(10))


# %%
# Equilibrium propagation
# -----------------------
#
# ``relax`` returns the states after a number of nudged steps, which ``max_nudge_iter`` sets. A unit
# makes the step :math:`(s_{t+1} - s_t) / \beta`. The weight from unit :math:`j` to unit :math:`i`
# sees the rate of :math:`j` times the step of :math:`i`.


def nudged_steps(model):
    """Return the free states, and the steps of each layer in the nudged phase."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # cut off on purpose
        path = [model.relax(X).states]
        path += [
            model.set_params(max_nudge_iter=n).relax(X, y, BETA).states for n in range(1, STEPS + 1)
        ]
    steps = [
        [(new - old) / BETA for new, old in zip(after, before, strict=True)]
        for before, after in pairwise(path)
    ]
    return path[0], steps


# %%
# Backpropagation through time
# ----------------------------
#
# We run the same dynamics and keep all states:
#
# .. math:: s \leftarrow \operatorname{clip}(s + \varepsilon\,(\text{drive} - s)) .
#
# Then the derivative of the loss of the last state goes back step by step.


def backward(model):
    """Return the derivatives of the loss by the drives of the last steps, the last step first."""
    (F1, F2, F3), (B1, B2), (b1, b2, b3) = model.coefs_, model.feedback_coefs_, model.intercepts_
    states = [np.zeros((SAMPLES, n)) for n in (*HIDDEN, 10)]
    inside = []  # which units are between their bounds after each step
    for _ in range(FREE_STEPS):
        h1, h2, o = states
        drives = X @ F1 + h2 @ B1 + b1, h1 @ F2 + o @ B2 + b2, h2 @ F3 + b3
        moved = [s + EPSILON * (drive - s) for s, drive in zip(states, drives, strict=True)]
        states = [np.clip(moved[0], 0, 1), np.clip(moved[1], 0, 1), moved[2]]
        inside.append([(s == m) for s, m in zip(states, moved, strict=True)])
    by_state = [np.zeros_like(states[0]), np.zeros_like(states[1]), states[2] - target]
    by_drives = []
    for mask in inside[: -STEPS - 1 : -1]:
        passed = [derivative * m for derivative, m in zip(by_state, mask, strict=True)]
        by_drives.append([EPSILON * derivative for derivative in passed])
        d1, d2, d3 = by_drives[-1]
        back = d2 @ F2.T, d1 @ B1.T + d3 @ F3.T, d2 @ B2.T
        by_state = [(1 - EPSILON) * p + b for p, b in zip(passed, back, strict=True)]
    return by_drives


# %%
# The curves
# ----------
#
# Each picture shows three weights of a layer, those with the largest derivatives. Lines are minus
# the derivatives of backpropagation through time. Dots are the steps of equilibrium propagation.
# The top row has symmetric weights, the bottom row has random feedback.


def weight_curves(layer, free, deltas):
    """Return the change of each weight into a layer at each step."""
    rates = [X, *free][layer]
    return np.array([rates.T @ delta[layer] for delta in deltas]) / SAMPLES


figure, axes = plt.subplots(2, 3, figsize=(12, 7), layout="constrained")
largest = {}
for row, init in zip(axes, ("transpose", "independent"), strict=True):
    model = network(init)
    free, steps = nudged_steps(model)
    derivatives = backward(model)
    differences = []
    for layer, ax in enumerate(row):
        update = weight_curves(layer, free, steps)
        descent = -weight_curves(layer, free, derivatives)
        differences.append(np.abs(update - descent).max() / np.abs(descent).max())
        sizes = np.abs(descent).max(axis=0)
        for rank, colour in zip((-1, -2, -3), ("C0", "C1", "C2"), strict=True):
            place = np.unravel_index(np.argsort(sizes, axis=None)[rank], sizes.shape)
            ax.plot(descent[:, *place], color=colour)
            ax.plot(update[:, *place], ".", color=colour)
        ax.set_title(f"$F_{layer + 1}$, feedback: {init}")
        ax.grid(alpha=0.3)
    largest[init] = max(differences)
    print(f"{init}: largest difference by layer", *(f"{d:.0e}" for d in differences))
for ax in axes[-1]:
    ax.set_xlabel("step t of the nudged phase")
for ax in axes[:, 0]:
    ax.set_ylabel("change in step t")
plt.show()

# %%
# With symmetric weights, dots and lines agree in every step. With random feedback, the output
# weights still nearly agree, and the others do not.

print(
    f"Result: largest difference of all steps and weights {largest['transpose']:.0e} of the "
    f"largest derivative (random feedback: {largest['independent']:.1f})"
)
