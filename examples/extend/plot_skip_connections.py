"""
=============================
A graph with skip connections
=============================

Layers need not stand in a row. Here a network of four hidden layers gets two connections that skip
a layer, each with its own way back. The nudge then reaches the first layer on a shorter way, and
training starts faster.
"""

# %%
# Two graphs
# ----------
#
# ``connections`` lists pairs (source layer, target layer). Layer 0 is the input, layer 5 is the
# output. A pair to a later layer is a forward connection; all others are feedback.

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from sklearn.preprocessing import StandardScaler

from sklearn_eqprop import EqPropClassifier

EPOCHS = 30

row = [(0, 1), (1, 2), (2, 3), (3, 4), (4, 5), (5, 4), (4, 3), (3, 2), (2, 1)]
graphs = {"in a row": row, "with skips": [*row, (1, 3), (3, 1), (3, 5), (5, 3)]}

figure, axes = plt.subplots(1, 2, figsize=(11, 2), layout="constrained")
for ax, (name, connections) in zip(axes, graphs.items(), strict=True):
    for source, target in connections:
        forward = source < target
        ax.annotate(
            "",
            (target, 0),
            (source, 0),
            arrowprops={
                "arrowstyle": "-|>",
                "color": "C0" if forward else "C1",
                "connectionstyle": f"arc3,rad={-0.35 if abs(source - target) == 1 else -0.5}",
                "shrinkA": 11,
                "shrinkB": 11,
            },
        )
    ax.plot(range(6), [0] * 6, "o", markersize=20, color="lightgrey")
    for layer, label in enumerate(("x", 1, 2, 3, 4, "out")):
        ax.text(layer, 0, label, ha="center", va="center")
    ax.set(title=f"{name} (blue: forward, orange: feedback)", xlim=(-0.3, 5.3), ylim=(-0.6, 0.6))
    ax.axis("off")
plt.show()

# %%
# Training
# --------
#
# Both networks have the same settings and see the same digits.

X, y = load_digits(return_X_y=True)
X_train, X_test, y_train, y_test = train_test_split(X, y, stratify=y, random_state=0)
scaler = StandardScaler().fit(X_train)
X_train, X_test = scaler.transform(X_train), scaler.transform(X_test)

models = {
    name: EqPropClassifier(
        (32, 32, 32, 32),
        connections=connections,
        learning_rate="cosine",
        max_iter=EPOCHS,
        random_state=0,
    ).fit(X_train, y_train)
    for name, connections in graphs.items()
}
for name, model in models.items():
    print(f"{name:11} test accuracy {model.score(X_test, y_test):.1%}")

# %%
# How much of the nudge arrives
# -----------------------------
#
# The displacement of a layer between the two phases is its error signal. In a row it becomes
# smaller at each step down. A skip carries it past a layer. (``layerwise_rescale=True``, the
# default, makes the update of lower layers larger again. It cannot help if a signal is so small
# that rounding spoils it.)

shares = {}
figure, (left, right) = plt.subplots(1, 2, figsize=(11, 4), layout="constrained")
for name, model in models.items():
    left.plot(np.arange(1, len(model.loss_curve_) + 1), model.loss_curve_, label=name)
    free = model.relax(X_test).states
    nudged = model.relax(X_test, y_test, beta=0.1).states
    moved = [np.linalg.norm(b - a) for a, b in zip(free, nudged, strict=True)]
    shares[name] = np.array(moved) / moved[-1]
    right.semilogy(range(1, 6), shares[name], "o-", label=name)
    print(
        f"{name:11} "
        + "  ".join(f"layer {k}: {size:.0e}" for k, size in enumerate(shares[name], 1))
    )
left.set(xlabel="epoch", ylabel="training loss", title="Training", ylim=(0, None))
right.set(
    xlabel="layer",
    ylabel="displacement / that of the output",
    title="Error signal in each layer",
    xticks=range(1, 6),
)
for ax in (left, right):
    ax.grid(alpha=0.3)
    ax.legend()
plt.show()

# %%
# A connection without feedback, for example ``(0, 5)`` alone, is allowed too. So are lateral
# connections, ``(2, 2)``, and rings. :ref:`user_guide:any graph of layers` says what to take care
# of.
