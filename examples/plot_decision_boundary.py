"""
===========================
A decision boundary appears
===========================

Two half moons cannot be separated by a line. This example watches the boundary of an
``EqPropClassifier`` bend during training, and then looks at the hidden units that made it.
"""

# %%
# Data and training
# -----------------
#
# ``partial_fit`` makes one pass over the rows. We stop after some passes and draw the probability
# of class 1, with scikit-learn's own ``DecisionBoundaryDisplay``.

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import make_moons
from sklearn.inspection import DecisionBoundaryDisplay
from sklearn.model_selection import train_test_split

from sklearn_eqprop import EqPropClassifier

X, y = make_moons(600, noise=0.2, random_state=0)
X_train, X_test, y_train, y_test = train_test_split(X, y, random_state=0)

model = EqPropClassifier((30, 30), batch_size=50, random_state=0)
stops = (1, 10, 40, 150)
DOTS = {"cmap": "RdBu_r", "s": 22, "edgecolors": "white", "linewidths": 0.7}

figure, axes = plt.subplots(1, 4, figsize=(13, 3.6), layout="constrained")
for epoch in range(1, stops[-1] + 1):
    model.partial_fit(X_train, y_train, classes=[0, 1])
    if epoch not in stops:
        continue
    ax = axes[stops.index(epoch)]
    DecisionBoundaryDisplay.from_estimator(
        model, X, response_method="predict_proba", ax=ax, cmap="RdBu_r", vmin=0, vmax=1, eps=0.3
    )
    ax.scatter(*X_test.T, c=y_test, **DOTS)
    accuracy = model.score(X_test, y_test)
    ax.set(xticks=[], yticks=[], title=f"epoch {epoch}: test accuracy {accuracy:.1%}")
plt.show()

# %%
# What the hidden units do
# ------------------------
#
# ``relax`` returns the states of all layers at the equilibrium. A unit of the first layer is 0 on
# one side of a line and grows on the other side. The second layer puts such pieces together. Here
# are the four units of each layer that vary most, over the plane.

ticks = np.linspace(-1.7, 2.7, 80), np.linspace(-1.2, 1.7, 60)
plane = np.column_stack([values.ravel() for values in np.meshgrid(*ticks)])
states = model.relax(plane).states

figure, axes = plt.subplots(2, 4, figsize=(13, 5), layout="constrained")
for layer, row in enumerate(axes):
    activity = states[layer]
    for unit, ax in zip(np.argsort(-activity.std(axis=0)), row, strict=False):
        ax.contourf(*ticks, activity[:, unit].reshape(60, 80), levels=12, cmap="viridis")
        ax.contour(*ticks, activity[:, unit].reshape(60, 80), levels=[1e-6], colors="white")
        ax.scatter(*X_test.T, c=y_test, **DOTS | {"s": 10, "linewidths": 0.4})
        ax.set(xticks=[], yticks=[], title=f"layer {layer + 1}, unit {unit}")
plt.show()
