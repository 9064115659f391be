"""
=======================
Alignment over training
=======================

How well does the update follow the gradient while a network learns? This example compares four
kinds of feedback.
"""

# %%
# Four kinds of feedback
# ----------------------
#
# * Feedback starts at the transposed forward weights, and the Kolen-Pollack rule keeps it there.
#   This is the default.
# * It starts there and learns by its own two-phase update, as in the paper.
# * It is drawn at random and learns by that update.
# * It is drawn at random and fixed.

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from sklearn.preprocessing import StandardScaler

from sklearn_eqprop import EqPropClassifier
from sklearn_eqprop.diagnostics import gradient_alignment

WAYS = {
    "transpose, Kolen-Pollack": ("transpose", "kolen_pollack"),
    "transpose, own update": ("transpose", "local"),
    "random, own update": ("independent", "local"),
    "random, fixed": ("independent", "fixed"),
}
HIDDEN = (64, 64, 64)
EPOCHS = 15
TRAIN_ROWS = 1300
ROWS = 200  # samples to measure alignment on

X, y = load_digits(return_X_y=True)
X_train, X_test, y_train, y_test = train_test_split(X, y, test_size=0.25, random_state=0)
X_train, y_train = X_train[:TRAIN_ROWS], y_train[:TRAIN_ROWS]
scaler = StandardScaler().fit(X_train)
X_train, X_test = scaler.transform(X_train), scaler.transform(X_test)

# %%
# Train and measure
# -----------------
#
# After each epoch, ``gradient_alignment`` returns the cosine of the update with
# :math:`-dJ/d\theta`, for each block of parameters and over all that the update trains.

histories = {}
print("after the last epoch          F_1    all  accuracy")
for name, (feedback_init, feedback_learning) in WAYS.items():
    model = EqPropClassifier(
        HIDDEN, feedback_init=feedback_init, feedback_learning=feedback_learning, random_state=0
    )
    history = []
    for _ in range(EPOCHS):
        model.partial_fit(X_train, y_train, classes=np.arange(10))
        found = gradient_alignment(model, X_train[:ROWS], y_train[:ROWS])
        first = next(block for block in found.blocks if block.name == "F_1")
        history.append((first.update_cosine, found.update, model.score(X_test, y_test)))
    histories[name] = np.array(history)
    print("{:26} {:+6.2f} {:+6.2f} {:9.1%}".format(name, *history[-1]))

# %%
# Left: the update of the first layer, which is farthest from the output. Middle: the update of all
# layers. Right: accuracy on held-out digits.

figure, axes = plt.subplots(1, 3, figsize=(13, 4.4), layout="constrained")
for name, history in histories.items():
    for ax, values in zip(axes, history.T, strict=True):
        ax.plot(np.arange(1, EPOCHS + 1), values, marker=".", label=name)
axes[0].set(title="Update of the first layer", ylabel="cosine with $-dJ/d\\theta$")
axes[1].set(title="Update of all layers", ylabel="cosine with $-dJ/d\\theta$")
axes[2].set(title="Held-out digits", ylabel="accuracy")
for ax in axes[:2]:
    ax.axhline(0, color="grey", linewidth=0.8)
    ax.set_ylim(min(-0.1, *ax.get_ylim()), 1.05)
for ax in axes:
    ax.set_xlabel("epoch")
    ax.grid(alpha=0.3)
    ax.xaxis.get_major_locator().set_params(integer=True)
figure.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=4)
plt.show()
