"""
===============================
A trajectory that never settles
===============================

Equilibrium propagation needs an equilibrium. The safeguard ``loop_gain`` makes sure that there is
one. Without it, a network with strong asymmetric feedback can move for ever. This page shows such a
network. It can still learn, if averages over time take the place of equilibria (footnote 1 of
Scellier et al. 2018).
"""

# %%
# Two units that chase each other
# -------------------------------
#
# Two hidden units excite themselves with the weight :math:`a`. The first excites the second, and
# the second inhibits the first. Near the origin a perturbation turns, and it grows if :math:`a` is
# above 1. Larger states are held back by the units, so the network ends in a cycle.

import copy
import warnings

import matplotlib.pyplot as plt
import numpy as np
from sklearn.exceptions import ConvergenceWarning

from sklearn_eqprop import EqPropRegressor

STEP = 0.1  # of time, in time constants of a unit
N_STEPS = 300
EPOCHS = 60

recurrent = {
    "activation": "tanh",
    "connections": [(0, 1), (1, 1), (1, 2), (2, 1)],
    "relaxation": "euler",
    "loop_gain": None,
    "feedback_learning": "fixed",
    "random_state": 0,
}
pair = EqPropRegressor(2, step_size=STEP, max_relax_iter=1, **recurrent)
with warnings.catch_warnings():
    warnings.simplefilter("ignore", ConvergenceWarning)
    pair.partial_fit([[-1.0], [1.0]], [-1.0, 1.0])  # makes the arrays
pair.coefs_ = [np.array([[0.3, 0.1]]), np.zeros((2, 1))]
pair.intercepts_ = [np.zeros(2), np.zeros(1)]


def walk(a, input_value):
    """Return the states of both units after 1, 2, 3, ... steps from rest."""
    pair.feedback_coefs_ = [np.array([[a, 1.0], [-1.0, a]]), np.zeros((1, 2))]
    path = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # cut off on purpose
        for n in range(1, N_STEPS + 1):
            states = pair.set_params(max_relax_iter=n).relax([[input_value]]).states
            path.append(states[0][0])
    return np.array(path)


time = STEP * np.arange(1, N_STEPS + 1)
figure, axes = plt.subplots(2, 2, figsize=(10, 6.5), width_ratios=(1, 2), layout="constrained")
for (left, right), a in zip(axes, (0.5, 2.0), strict=True):
    path = walk(a, 1.0)
    moves = np.abs(path[-100:] - path[-1]).max()
    print(f"a = {a}: in the last 100 steps the states move by up to {moves:.3f}")
    left.plot(*path.T)
    left.plot(*path[-1], "ko")
    left.locator_params(nbins=4)
    left.set(xlabel="unit 1", ylabel="unit 2", title=f"a = {a}", aspect="equal")
    right.plot(time, path, label=["unit 1", "unit 2"])
    right.set(xlabel="time", ylabel="state")
    right.legend()
plt.show()

# %%
# The mean still answers
# ----------------------
#
# In the cycle there is no state :math:`s^*` that could be the answer. But the average over the
# cycle depends on the input. With ``objective='trajectory'`` predictions are such averages, the
# loss is the average loss along the trajectory, and the update is the product of two averages:
#
# .. math::
#
#    \Delta\theta \propto \langle \rho_\text{pre} \rangle^\top\,
#    \frac{\langle s \rangle_\beta - \langle s \rangle_0}{\beta} .
#
# We train a network with eight hidden units that oscillate. Its lateral weights stay as they are.
# For comparison, the same network learns with the fixed-point rule, which takes the states after
# 200 steps for an equilibrium.

rng = np.random.RandomState(0)
X = rng.standard_normal((40, 3))
y = np.sin(X[:, 0]) + X[:, 1]
turn = rng.standard_normal((8, 8))
lateral = 1.5 * np.eye(8) + 2 * (turn - turn.T) / np.linalg.norm(turn - turn.T, 2)

averaging = EqPropRegressor(
    8, step_size=0.2, objective="trajectory", learning_rate_init=0.03, **recurrent
)


def average_loss(model):
    """Return the mean loss along the trajectories, whatever rule has trained the network."""
    model = copy.deepcopy(model).set_params(objective="trajectory", learning_rate_init=1e-12)
    return model.partial_fit(X, y).loss_


curves = {}
for objective in ("trajectory", "fixed_point"):
    model = copy.deepcopy(averaging).partial_fit(X, y).set_params(objective=objective)
    model.feedback_coefs_[0] = lateral
    curves[objective] = [average_loss(model)]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # nothing settles
        for _ in range(EPOCHS):
            model.partial_fit(X, y)
            curves[objective].append(average_loss(model))
    print(f"{objective}: average loss {curves[objective][0]:.3f} -> {curves[objective][-1]:.3f}")

figure, ax = plt.subplots(figsize=(7, 4), layout="constrained")
for objective, curve in curves.items():
    ax.plot(curve, label=f"objective='{objective}'")
ax.set(xlabel="epoch", ylabel="average loss along the trajectory", ylim=(0, None))
ax.legend()
plt.show()

# %% Both rules lower the loss. Only the first one follows the average. The second takes the states
# of one moment instead, which here are close to the averages.
#
# :ref:`Dynamics that never settle <learning_rules:Dynamics that never settle>` has the details. To
# try: set ``loop_gain=0.9`` in ``recurrent``. The safeguard then shrinks the lateral weights in the
# first update, and everything settles.
