"""
============================================
Laborieux et al. 2021: the bias of the nudge
============================================

The update of equilibrium propagation is exact for an infinitely small nudge β. With a finite nudge
it has a bias. Laborieux et al. (arXiv:2006.03824) found that this bias spoils deep networks on
CIFAR-10, and that nudging with both signs, *centred* nudging, removes most of it.

We measure the bias of each estimator against the exact gradient.

::

    python examples/reproductions/plot_laborieux_2021.py
"""

# %%
# A network with an exact gradient
# --------------------------------
#
# The network has symmetric weights, so its update is the gradient in the limit of small β. The loss
# is the cross-entropy, as in the paper.

import matplotlib.pyplot as plt
import numpy as np
from common import load_images, update

from sklearn_eqprop import EqPropClassifier

EPOCHS = 15
BETAS = np.array([0.02, 0.05, 0.1, 0.2, 0.4, 0.8])

X_train, X_test, y_train, y_test = load_images()
X, y = X_train[:50].astype(float), y_train[:50]


def network(hidden, **parameters):
    return EqPropClassifier(
        hidden,
        activation="tanh",
        feedback="tied",
        loop_gain=0.8,
        feedback_scale=1.0,
        learning_rate="cosine",
        alpha=0,
        max_iter=EPOCHS,
        n_iter_no_change=None,
        random_state=0,
        **parameters,
    )


# %%
# The bias
# --------
#
# A random sign of β has the error of one side in each minibatch, but the errors of both signs
# cancel in the mean. So this mean is as good as centred nudging, which uses both signs in each
# minibatch.

model = network((30, 20)).fit(X_train[:300].astype(float), y_train[:300])
model.set_params(relax_tol=1e-13, max_relax_iter=5000, max_nudge_iter=5000, loop_gain=None)
gradient = update(model, X, y, gradient="recurrent_backprop")


def bias(found):
    return np.linalg.norm(found - gradient) / np.linalg.norm(gradient)


biases = {"one-sided": [], "random sign, mean": [], "centred": []}
for beta in BETAS:
    up, down = (update(model, X, y, beta=b, nudging="one_sided") for b in (beta, -beta))
    biases["one-sided"].append(bias(up))
    biases["random sign, mean"].append(bias((up + down) / 2))
    biases["centred"].append(bias(update(model, X, y, beta=beta, nudging="centered")))

figure, ax = plt.subplots(figsize=(6, 4.2), layout="constrained")
orders = {}
for (name, of_betas), marker in zip(biases.items(), ("o", "s", "."), strict=True):
    orders[name] = np.polyfit(np.log(BETAS[:4]), np.log(of_betas[:4]), 1)[0]
    ax.loglog(BETAS, of_betas, marker=marker, label=f"{name}: order {orders[name]:.2f}")
ax.set_xticks(BETAS, BETAS)
ax.minorticks_off()
ax.set(xlabel="β", ylabel="error of the update, relative", title="The bias of a finite nudge")
ax.legend()
plt.show()

# %%
# Training
# --------
#
# The networks have three hidden layers, and β is the largest of the picture. On this small task the
# bias does no harm.

errors = []
for nudging in ("one_sided", "random_sign", "centered"):
    model = network((64, 64, 64), nudging=nudging, beta=BETAS[-1]).fit(X_train, y_train)
    errors.append(f"{1 - model.score(X_test, y_test):.1%}")
    print(f"{nudging}: test error {errors[-1]}")

print(
    f"Result: bias of order {orders['one-sided']:.2f} one-sided, "
    f"{orders['random sign, mean']:.2f} random sign (mean), {orders['centred']:.2f} centred; test "
    f"error at β = {BETAS[-1]}: {', '.join(errors)}"
)
