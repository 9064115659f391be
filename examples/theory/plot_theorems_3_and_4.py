"""
===========================
Theorem 3 against Theorem 4
===========================

Two processes compute error derivatives in the same time (Scellier et al. 2018). Recurrent
backpropagation (Theorem 3) sends S backwards through the *forward* weights, so it must read them in
reverse. In equilibrium propagation (Theorem 4) the nudged network simply moves: σ, its velocity in
units of the nudge, passes through the *feedback* weights.
"""

# %%
# Two networks
# ------------
#
# We train a network with tied weights. Its feedback is :math:`\gamma F^\top`. Then we build two
# networks from it, both with the forward weights :math:`\sqrt{\gamma} F`. In the first, feedback is
# their transpose, so the loops are as strong as in training. In the second, feedback is random, of
# the same size.

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_digits
from sklearn.preprocessing import StandardScaler

from sklearn_eqprop import EqPropClassifier
from sklearn_eqprop.diagnostics import ErrorProcessesDisplay, error_processes

HIDDEN = (64, 64)
EPOCHS = 15
TRAIN_ROWS = 1500
ROWS = 200  # samples to look at

X, y = load_digits(return_X_y=True)
X = StandardScaler().fit_transform(X)
trained = EqPropClassifier(
    HIDDEN,
    activation="hard_sigmoid",
    feedback="tied",
    loop_gain=0.5,
    max_iter=EPOCHS,
    learning_rate="cosine",
    random_state=0,
).fit(X[:TRAIN_ROWS], y[:TRAIN_ROWS])


def network_of(coefs, feedback_coefs):
    """Return an estimator with these weights."""
    model = EqPropClassifier(**trained.get_params()).set_params(feedback="untied")
    model.partial_fit(X[:200], y[:200], classes=trained.classes_)  # makes the arrays
    model.coefs_, model.intercepts_ = coefs, trained.intercepts_
    model.feedback_coefs_ = feedback_coefs
    return model


scales = [1.0, *np.sqrt(trained.feedback_gains_)]
coefs = [scale * coef for scale, coef in zip(scales, trained.coefs_, strict=True)]
transposed = [coef.T for coef in coefs[1:]]
rng = np.random.RandomState(0)
noise = [rng.standard_normal(B.shape) for B in transposed]
random = [G * np.linalg.norm(B) / np.linalg.norm(G) for G, B in zip(noise, transposed, strict=True)]
networks = {
    "Tied": network_of(coefs, transposed),
    "Random feedback": network_of(coefs, random),
}

# %%
# Both processes over time
# ------------------------
#
# Top, tied weights: S and -σ are equal at every time. Bottom, random feedback: both start from the
# same force at the output and differ after the first connection. Left: sizes of the signals. Right:
# cosines, of the signals and of the updates that they have added up so far.

found = {}
figure, axes = plt.subplots(2, 2, figsize=(11, 8), layout="constrained")
for (left, right), (name, network) in zip(axes, networks.items(), strict=True):
    found[name] = error_processes(network, X[-ROWS:], y[-ROWS:], max_time=20, n_records=100)
    print(f"{name}\n{found[name]}\n")
    display = ErrorProcessesDisplay(found[name])
    display.plot(left)
    display.plot(right, kind="cosines")
    left.set_title(f"{name}: sizes of the signals")
    right.set_title(f"{name}: cosines")
plt.show()
