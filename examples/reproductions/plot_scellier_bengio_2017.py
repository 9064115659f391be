"""
==============================================
Scellier & Bengio 2017: the energy-based start
==============================================

The first paper on equilibrium propagation (arXiv:1602.05179) trains networks with symmetric
weights, one, two or three hidden layers and hard-sigmoid units. Such a network has an energy, and
settles where the energy has a minimum. Here it is ``feedback='tied', feedback_scale=1.0,
loop_gain=None``.

The network is that of the paper. The training is ours: it uses Adam with a cosine schedule and a
linear output, and every sample settles from zero states. The paper uses plain gradient descent with
a learning rate for each layer, and each sample starts at its last equilibrium.

::

    python examples/reproductions/plot_scellier_bengio_2017.py
    python examples/reproductions/plot_scellier_bengio_2017.py --full --data mnist.npz

The second command trains hidden layers of 500 units on all of MNIST. It takes hours. ``mnist.npz``
holds the uint8 arrays ``x_train``, ``y_train``, ``x_test``, ``y_test``.
"""

# %%
# One, two and three hidden layers
# --------------------------------
#
# On this page the networks are smaller, and the images are scikit-learn's digits.

import argparse

import matplotlib.pyplot as plt
from common import load_images

from sklearn_eqprop import EqPropClassifier
from sklearn_eqprop.diagnostics import EnergyDisplay

UNITS = 100
EPOCHS = 30

parser = argparse.ArgumentParser(description="Networks of Scellier & Bengio (2017).")
parser.add_argument("--data", help="MNIST as an npz file; without it scikit-learn's digits")
parser.add_argument("--full", action="store_true", help="500 units in each layer")
options = parser.parse_args()

X_train, X_test, y_train, y_test = load_images(options.data)
networks = {}
for depth in (1, 2, 3):
    model = EqPropClassifier(
        (500 if options.full else UNITS,) * depth,
        activation="hard_sigmoid",
        feedback="tied",
        feedback_scale=1.0,
        loop_gain=None,
        loss="squared_error",
        learning_rate_init=1e-3 if options.full else 3e-3,  # large networks need a smaller rate
        learning_rate="cosine",
        max_iter=EPOCHS,
        n_iter_no_change=None,
        max_relax_iter=2000,
        max_nudge_iter=2000,
        random_state=0,
    ).fit(X_train, y_train)
    networks[depth] = model
    print(
        f"{depth} hidden: training error {1 - model.score(X_train, y_train):.2%}, "
        f"test error {1 - model.score(X_test, y_test):.2%}"
    )

# %%
# The energy falls
# ----------------
#
# Each sweep through the layers lowers the energy of each sample, until it is at a minimum. Deeper
# networks need more sweeps.

figure, axes = plt.subplots(1, 3, figsize=(13, 4), layout="constrained")
for ax, (depth, model) in zip(axes, networks.items(), strict=True):
    EnergyDisplay.from_estimator(model, X_test[:100], ax=ax)
    ax.set_title(f"{depth} hidden")
plt.show()

errors = ", ".join(f"{1 - model.score(X_test, y_test):.1%}" for model in networks.values())
print(f"Result: test error {errors} with 1, 2, 3 hidden layers")
