"""
=============================
A graph with skip connections
=============================

Layers need not stand in a row. Here a network of four hidden layers gets two connections that skip
a layer, each with its own way back. In one network they have weights. In another they are
identities, as in residual networks. The update of each network follows the gradient.
"""

# %%
# Three graphs
# ------------
#
# ``connections`` lists pairs (source layer, target layer). Layer 0 is the input, layer 5 is the
# output. A pair to a later layer is a forward connection; all others are feedback. A third member
# ``"identity"`` joins two layers of one size unit by unit, without weights.

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from sklearn.preprocessing import StandardScaler

from sklearn_eqprop import EqPropClassifier
from sklearn_eqprop.diagnostics import gradient_alignment

EPOCHS = 30

row = [(0, 1), (1, 2), (2, 3), (3, 4), (4, 5), (5, 4), (4, 3), (3, 2), (2, 1)]
skips = [(1, 3), (3, 1), (2, 4), (4, 2)]
graphs = {
    "in a row": row,
    "with skips": row + skips,
    "residual": row + [(*pair, "identity") for pair in skips],
}

figure, axes = plt.subplots(1, 3, figsize=(14, 2), layout="constrained")
for ax, (name, connections) in zip(axes, graphs.items(), strict=True):
    for source, target, *_ in connections:
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
    ax.set(title=name, xlim=(-0.3, 5.3), ylim=(-0.6, 0.6))
    ax.axis("off")
figure.suptitle("blue: forward, orange: feedback")
plt.show()

# %%
# Training
# --------
#
# All networks have the same settings and see the same digits.

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
# Error signals
# -------------
#
# The displacement of a layer between the two phases is its error signal. It becomes smaller at each
# level down, by the strength γ of the feedback. Feedback that leads down by two levels has the
# strength γ², so that it is as strong as the two connections beside it. The error signals of both
# ways then add up to the gradient: the cosine of update and gradient is near 1. By default,
# ``layerwise_rescale=True`` makes the update of lower layers larger again.

alignments = {}
figure, (left, right) = plt.subplots(1, 2, figsize=(11, 4), layout="constrained")
for name, model in models.items():
    left.plot(np.arange(1, len(model.loss_curve_) + 1), model.loss_curve_, label=name)
    free = model.relax(X_test).states
    nudged = model.relax(X_test, y_test, beta=0.1).states
    moved = np.array([np.linalg.norm(b - a) for a, b in zip(free, nudged, strict=True)])
    right.semilogy(range(1, 6), moved / moved[-1], "o-", label=name)
    alignments[name] = gradient_alignment(model, X_test, y_test).update
    print(f"{name:11} cosine of update and gradient {alignments[name]:.3f}")
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
# A connection without feedback, for example ``(0, 5)`` alone, is allowed, too. So are lateral
# connections, ``(2, 2)``, and rings. :ref:`user_guide:any graph of layers` says what to take care
# of.
