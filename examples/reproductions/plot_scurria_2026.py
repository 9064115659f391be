"""
============================================
Scurria et al. 2026: exact without an energy
============================================

A network with arbitrary feedback has no energy, and the update of equilibrium propagation is then
not the gradient. Scurria et al. (arXiv:2602.03670) correct the dynamics of the second phase by a
term from the antisymmetric part of the Jacobian, :math:`(A^\\top - A)(s - s^0)`. Two equilibria
then give the exact gradient. In this package it is ``gradient='asymmetric'``.

The extreme case is a network without any feedback. There the rule must be ordinary
backpropagation. We write that in NumPy and compare.

::

    python examples/reproductions/plot_scurria_2026.py
"""

# %%
# No feedback at all
# ------------------
#
# ``connections`` lists the connections of the network. Here they only lead forward. The weights of
# the layers are random.

import matplotlib.pyplot as plt
import numpy as np
from common import load_images, update

from sklearn_eqprop import EqPropClassifier
from sklearn_eqprop.diagnostics import gradient_alignment

HIDDEN = (64, 64)
EPOCHS = 15

X_train, X_test, y_train, y_test = load_images()
X, y = X_train[:100].astype(float), y_train[:100]

forward = EqPropClassifier(
    HIDDEN,
    activation="tanh",
    connections=[(0, 1), (1, 2), (2, 3)],
    gradient="asymmetric",
    learning_rate_init=1e-12,
    loss="squared_error",
    relax_tol=1e-12,
    random_state=0,
).partial_fit(X, y, classes=np.arange(10))

(F1, F2, F3), (b1, b2, b3) = forward.coefs_, forward.intercepts_
h1 = np.tanh(X @ F1 + b1)
h2 = np.tanh(h1 @ F2 + b2)
d3 = (np.eye(10)[y] - h2 @ F3 - b3) / len(X)
d2 = d3 @ F3.T * (1 - h2**2)
d1 = d2 @ F2.T * (1 - h1**2)
by_hand = [X.T @ d1, h1.T @ d2, h2.T @ d3, d1.sum(axis=0), d2.sum(axis=0), d3.sum(axis=0)]
by_hand = np.concatenate([change.ravel() for change in by_hand])
by_package = update(forward, X, y)
error = np.abs(by_package - by_hand).max() / np.abs(by_hand).max()
print(f"{len(by_hand)} changes, largest difference: {error:.0e} of the largest change")

# %%
# Random feedback
# ---------------
#
# With random feedback that does not learn, the plain rule follows the gradient in the last layer
# only. The corrected field follows it in all layers.

cosines, errors = {}, {}
for gradient in ("asymmetric", "vector_field"):
    model = EqPropClassifier(
        HIDDEN,
        gradient=gradient,
        feedback_init="independent",
        feedback_learning="fixed",
        loop_gain=0.5,
        learning_rate="cosine",
        max_iter=EPOCHS,
        n_iter_no_change=None,
        alpha=0,
        random_state=0,
    ).fit(X_train, y_train)
    blocks = gradient_alignment(model, X, y).blocks
    cosines[gradient] = [block.update_cosine for block in blocks if block.role == "forward"]
    errors[gradient] = 1 - model.score(X_test, y_test)
    print(f"{gradient}: test error {errors[gradient]:.1%}, cosines", np.round(cosines[gradient], 4))

figure, ax = plt.subplots(figsize=(6, 4), layout="constrained")
for shift, (gradient, values) in zip((-0.2, 0.2), cosines.items(), strict=True):
    ax.bar(np.arange(1, 4) + shift, values, width=0.4, label=f"gradient='{gradient}'")
ax.set(
    xticks=range(1, 4),
    xticklabels=["$F_1$", "$F_2$", "$F_3$"],
    ylabel="cosine of the update with minus the gradient",
    title="Random feedback",
    ylim=(0, 1.3),
)
ax.legend()
plt.show()

print(
    f"Result: without feedback within {error:.0e} of backpropagation; with random feedback lowest "
    f"cosine {min(cosines['asymmetric']):.4f} (plain rule {min(cosines['vector_field']):.2f}), "
    f"test error {errors['asymmetric']:.1%} (plain rule {errors['vector_field']:.1%})"
)
