"""
==================================================
Ernoult et al. 2020: weights that change all along
==================================================

Equilibrium propagation updates the weights at the end of the second phase. In its *continual* form
(Ernoult et al. 2020, arXiv:2005.04168) the weights change in every step of this phase, while the
states still move. In this package it is ``gradient='continual'``.

The paper shows that this makes no difference if the weights change slowly. We measure it, and train
networks with symmetric weights and with separate feedback weights (the vector field).

::

    python examples/reproductions/plot_ernoult_2020.py
    python examples/reproductions/plot_ernoult_2020.py --full --data mnist.npz

The second command trains a hidden layer of 512 units for 100 epochs on all of MNIST, with the
paper's steps, β and learning rates for the vector field. It takes hours. ``mnist.npz`` holds the
uint8 arrays ``x_train``, ``y_train``, ``x_test``, ``y_test``.
"""

# %%
# Two networks
# ------------
#
# Both networks have one hidden layer. The first has tied weights, the second has separate
# feedback weights.

import argparse
import warnings

import matplotlib.pyplot as plt
import numpy as np
from common import load_images, update
from sklearn.exceptions import ConvergenceWarning

from sklearn_eqprop import EqPropClassifier

EPOCHS = 10
PAPER = {
    "hidden_layer_sizes": (512,),
    "max_relax_iter": 40,
    "max_nudge_iter": 15,
    "beta": 0.2,
    "learning_rate_init": [0.0076, 0.0038],
    "max_iter": 100,
}
SMALLER = {
    "hidden_layer_sizes": (100,),
    "beta": 0.2,
    "learning_rate_init": 0.04,
    "max_iter": EPOCHS,
}

parser = argparse.ArgumentParser(description="Networks of Ernoult et al. (2020).")
parser.add_argument("--data", help="MNIST as an npz file; without it scikit-learn's digits")
parser.add_argument("--full", action="store_true", help="the size and the rates of the paper")
options = parser.parse_args()
X_train, X_test, y_train, y_test = load_images(options.data)
CLASSES = np.unique(y_train)

FEEDBACK = {
    "symmetric": {"feedback": "tied"},
    "vector field": {"feedback_learning": "local"},
}


def network(feedback, **parameters):
    common = {
        "activation": "hard_sigmoid",
        "feedback_scale": 1.0,
        "loop_gain": None,
        "layerwise_rescale": False,
        "loss": "squared_error",
        "optimizer": "sgd",
        "momentum": 0,
        "alpha": 0,
        "batch_size": 20,
        "step_size": 0.5,
        "nudging": "random_sign",
        "n_iter_no_change": None,
        "random_state": 0,
    }
    return EqPropClassifier(**common | FEEDBACK[feedback] | parameters)


# %%
# Slow weights
# ------------
#
# We compare the change of all weights in one second phase with that of the two-phase rule, for
# several learning rates η. Theory says that the difference falls in proportion to η / β, until only
# an error of the size of β is left.

BETA = 1e-3
ETAS = BETA * np.logspace(-4, -1, 7)
X, y = X_train[:20].astype(float), y_train[:20]
exact = {"nudging": "one_sided", "beta": BETA, "relax_tol": 1e-12}
exact |= {"max_relax_iter": 5000, "max_nudge_iter": 5000}
distances = {}
for feedback in FEEDBACK:
    model = network(feedback, learning_rate_init=1e-12, **exact).partial_fit(X, y, CLASSES)
    at_the_end = update(model, X, y)
    distances[feedback] = [
        np.linalg.norm(
            update(model, X, y, gradient="continual", learning_rate_init=eta) / eta - at_the_end
        )
        / np.linalg.norm(at_the_end)
        for eta in ETAS
    ]

figure, ax = plt.subplots(figsize=(6, 4), layout="constrained")
for feedback, distance in distances.items():
    ax.loglog(ETAS / BETA, distance, "o-", label=feedback)
ax.loglog(ETAS / BETA, 100 * ETAS / BETA, color="grey", linewidth=1, label="∝ η / β")
ax.set(
    xlabel="η / β",
    ylabel="difference from the two-phase update",
    title="Continual update",
    ylim=(None, 2),
)
ax.legend()
plt.show()

# %%
# Training
# --------
#
# We train with the continual rule and with the two-phase rule, at the same learning rate. The sign
# of β is random.

settings = PAPER if options.full else SMALLER
words = []
for feedback in FEEDBACK:
    errors = []
    for gradient in ("continual", "vector_field"):
        model = network(feedback, gradient=gradient, **settings)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)  # phases may be cut off
            error = 1 - model.fit(X_train, y_train).score(X_test, y_test)
        print(f"{feedback}, {gradient}: test error {error:.1%}")
        errors.append(f"{error:.1%}")
    words.append(f"{feedback} {errors[0]} (two-phase rule {errors[1]})")

smallest = max(distance[0] for distance in distances.values())
print(
    f"Result: continual update within {smallest:.0e} of the two-phase update for slow weights; "
    f"test error {', '.join(words)}"
)
