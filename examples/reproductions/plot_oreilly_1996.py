"""
======================
O'Reilly 1996: GeneRec
======================

GeneRec, the *generalized recirculation algorithm*, needs two numbers of each unit: its rate while
the network answers, and its rate while the outputs are held at the targets. A weight changes by the
first rate of its sender times the difference of the two rates of its receiver. In this package it
is ``beta=float('inf')`` with untied weights.

O'Reilly showed that GeneRec becomes contrastive Hebbian learning
(:ref:`sphx_glr_auto_examples_reproductions_plot_movellan_1991.py`), if the changes are made
symmetric and the first rate is replaced by the midpoint of both. We check both rules by hand, and
train both on an encoder.

::

    python examples/reproductions/plot_oreilly_1996.py
"""

# %%
# An encoder
# ----------
#
# Eight inputs, eight outputs, and three hidden units between them. In each pattern one input is
# active, and the same output should be active. So the hidden units must find a code with three
# numbers.

import matplotlib.pyplot as plt
import numpy as np
from common import update

from sklearn_eqprop import EqPropClassifier

SEEDS = 5
EPOCHS = 800

X, y = np.eye(8), np.arange(8)
RULES = {
    "GeneRec": {"feedback_init": "independent", "feedback_learning": "local"},
    "contrastive Hebbian": {"feedback": "tied"},
}


def network(rule, seed):
    return EqPropClassifier(
        3,
        activation="logistic",
        output_activation="hard_sigmoid",
        beta=float("inf"),
        feedback_scale=1.0,
        loop_gain=0.9,
        layerwise_rescale=False,
        loss="squared_error",
        optimizer="sgd",
        learning_rate_init=0.2,
        alpha=0,
        max_iter=EPOCHS,
        n_iter_no_change=None,
        random_state=seed,
        **RULES[rule],
    )


# %%
# Both rules by hand
# ------------------
#
# ``relax`` returns the states of both phases: :math:`s^f` free, :math:`s^c` clamped. For the weight
# from a hidden unit :math:`j` to an output :math:`i`
#
# .. math::
#
#    \text{GeneRec:} \quad r_j^f\, (r_i^c - r_i^f), \qquad
#    \text{contrastive Hebbian:} \quad r_j^c\, r_i^c - r_j^f\, r_i^f .
#
# The second is the sum of two GeneRec rules, one for each direction, with midpoints
# :math:`\bar r = (r^f + r^c) / 2`:
#
# .. math:: \bar r_j\, (r_i^c - r_i^f) + \bar r_i\, (r_j^c - r_j^f) .


def rates_of(result):
    hidden, output = result.states
    return 1 / (1 + np.exp(-hidden)), output


errors = []
for rule in RULES:
    model = network(rule, seed=0).set_params(relax_tol=1e-13, max_relax_iter=1000)
    model.set_params(max_nudge_iter=1000, learning_rate_init=1e-12).partial_fit(X, y, classes=y)
    h_free, o_free = rates_of(model.relax(X))
    h_clamped, o_clamped = rates_of(model.relax(X, y, beta=float("inf")))
    if rule == "GeneRec":
        by_hand = h_free.T @ (o_clamped - o_free)
    else:
        by_hand = (h_free + h_clamped).T / 2 @ (o_clamped - o_free)
        by_hand += (h_clamped - h_free).T @ (o_free + o_clamped) / 2
    n_first = model.coefs_[0].size
    by_package = update(model, X, y, loop_gain=None)[n_first:][: by_hand.size]
    errors.append(np.abs(by_hand.ravel() / len(X) - by_package).max() / np.abs(by_package).max())
    print(f"{rule}: largest difference {errors[-1]:.0e} of the largest change")

# %%
# Learning
# --------
#
# The encoder is learned if at the end the right output is the largest one in all eight patterns.

figure, axes = plt.subplots(1, 2, figsize=(10, 4), sharey=True, layout="constrained")
learned = {}
for ax, rule in zip(axes, RULES, strict=True):
    models = [network(rule, seed).fit(X, y) for seed in range(SEEDS)]
    learned[rule] = sum(model.score(X, y) == 1 for model in models)
    ax.semilogy(np.transpose([model.loss_curve_ for model in models]), color="C0", alpha=0.5)
    ax.set(xlabel="epoch", title=rule)
axes[0].set_ylabel("loss on the encoder")
plt.show()

words = " and ".join(f"{rule} from {number} of {SEEDS} starts" for rule, number in learned.items())
print(
    f"Result: both rules within {max(errors):.0e} of the formulas; 8-3-8 encoder learned by {words}"
)
