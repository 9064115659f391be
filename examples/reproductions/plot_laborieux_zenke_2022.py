"""
==========================================
Laborieux & Zenke 2022: nudges in a circle
==========================================

Holomorphic equilibrium propagation (arXiv:2209.00530) nudges with N complex strengths β on a
circle. If the units are smooth, the mean over the circle is the derivative at β = 0, up to an error
of order :math:`\\beta^N`. So a nudge need not be small. In this package it is ``nudging=N``, for N
of 3 and more; N = 1 is one-sided and N = 2 is centred nudging.

::

    python examples/reproductions/plot_laborieux_zenke_2022.py
"""

# %%
# A smooth network
# ----------------
#
# The network has tanh units, symmetric weights and the cross-entropy as loss. In the limit of small
# β, its update is the exact gradient, which ``gradient='recurrent_backprop'`` computes.

import matplotlib.pyplot as plt
import numpy as np
from common import load_images, update

from sklearn_eqprop import EqPropClassifier

EPOCHS = 15
POINTS = {1: "one_sided", 2: "centered", 4: 4, 6: 6, 8: 8}
BETAS = np.array([0.1, 0.2, 0.4, 0.8, 1.6])

X_train, X_test, y_train, y_test = load_images()
model = EqPropClassifier(
    (30, 20),
    activation="tanh",
    feedback="tied",
    feedback_scale=1.0,
    loop_gain=0.8,
    learning_rate="cosine",
    alpha=0,
    max_iter=EPOCHS,
    n_iter_no_change=None,
    random_state=0,
).fit(X_train[:300].astype(float), y_train[:300])
model.set_params(relax_tol=1e-13, max_relax_iter=5000, max_nudge_iter=5000, loop_gain=None)

# %%
# The error of each number of points
# ----------------------------------
#
# In a picture with two logarithmic axes, :math:`\beta^N` is a line with the slope N.

X, y = X_train[:50].astype(float), y_train[:50]
gradient = update(model, X, y, gradient="recurrent_backprop")
figure, ax = plt.subplots(figsize=(6.5, 4.5), layout="constrained")
slopes = []
for n_points, nudging in POINTS.items():
    betas = BETAS if n_points == 1 or n_points > 2 else BETAS[:-1]  # -1.6 is not stable
    errors = [
        np.linalg.norm(update(model, X, y, nudging=nudging, beta=beta) - gradient)
        / np.linalg.norm(gradient)
        for beta in betas
    ]
    slopes.append(np.polyfit(np.log(betas[:3]), np.log(errors[:3]), 1)[0])
    ax.loglog(betas, errors, "o-", label=f"N = {n_points}: slope {slopes[-1]:.2f}")
    print(f"N = {n_points}: slope {slopes[-1]:.2f}, error at β = {betas[2]}: {errors[2]:.0e}")
ax.set(xlabel="|β|", ylabel="error of the update, relative", title="N points on a circle")
ax.legend()
plt.show()

words = ", ".join(f"{slope:.2f}" for slope in slopes)
print(f"Result: error of order {words} for N = {', '.join(map(str, POINTS))}")
