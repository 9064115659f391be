"""
============================================
Laborieux & Zenke 2023: Jacobian homeostasis
============================================

If feedback weights have nothing to do with the forward weights, the error signals of equilibrium
propagation are wrong, however small the nudge is. Laborieux & Zenke (arXiv:2309.02214) add a local
rule that makes the Jacobian of the dynamics symmetric: *homeostasis*. In this package it is
``feedback_learning='homeostasis'``.

We start feedback at random, and compare homeostasis with feedback that learns by its own two-phase
product (Scellier et al. 2018), and with feedback that does not learn.

::

    python examples/reproductions/plot_laborieux_zenke_2023.py
    python examples/reproductions/plot_laborieux_zenke_2023.py --full --data mnist.npz

The second command trains three hidden layers of 512 units on MNIST, which takes about an hour.
``mnist.npz`` holds the uint8 arrays ``x_train``, ``y_train``, ``x_test``, ``y_test``.
"""

# %%
# Three ways for feedback to learn
# --------------------------------
#
# All start at the same random weights. After each epoch we measure the cosine of the direction of
# learning with minus the gradient, for the weights of the first layer: their error signal has
# passed three feedback connections.

import argparse

import matplotlib.pyplot as plt
import numpy as np
from common import load_images

from sklearn_eqprop import EqPropClassifier
from sklearn_eqprop.diagnostics import gradient_alignment

HIDDEN = (64, 64, 64)
EPOCHS = 15
ROWS = 100  # samples to measure on
WAYS = {"homeostasis": "homeostasis", "own product": "local", "fixed": "fixed"}

parser = argparse.ArgumentParser(description="Homeostasis of Laborieux & Zenke (2023).")
parser.add_argument("--data", help="MNIST as an npz file; without it scikit-learn's digits")
parser.add_argument("--full", action="store_true", help="512 units in each layer")
options = parser.parse_args()
X_train, X_test, y_train, y_test = load_images(options.data)

cosines, errors = {}, {}
for name, way in WAYS.items():
    model = EqPropClassifier(
        (512,) * 3 if options.full else HIDDEN,
        activation="tanh",
        feedback_init="independent",
        feedback_learning=way,
        loop_gain=0.5,
        random_state=0,
    )
    cosines[name], errors[name] = [], []
    for _ in range(EPOCHS):
        model.partial_fit(X_train, y_train, classes=np.arange(10))
        found = gradient_alignment(model, X_test[:ROWS], y_test[:ROWS])
        cosines[name].append(found.blocks[0].limit_cosine)
        errors[name].append(1 - model.score(X_test, y_test))
    print(f"{name:12} cosine of F_1 {cosines[name][-1]:.2f}, test error {errors[name][-1]:.1%}")

# %%
# With homeostasis, feedback turns towards the direction in which errors are transported correctly,
# and the network learns better.

figure, (left, right) = plt.subplots(1, 2, figsize=(10, 4), layout="constrained")
epochs = np.arange(1, EPOCHS + 1)
for name in WAYS:
    left.plot(epochs, cosines[name], ".-", label=name)
    right.plot(epochs, 100 * np.array(errors[name]), ".-", label=name)
left.set(xlabel="epoch", ylabel="cosine", title="First layer: update and minus the gradient")
right.set(xlabel="epoch", ylabel="test error (%)", title="Learning", ylim=(0, None))
left.legend()
plt.show()

words = [f"{name} {cosines[name][-1]:.2f} and {errors[name][-1]:.1%}" for name in WAYS]
print(f"Result: cosine of the first layer and test error: {', '.join(words)}")
