"""
==========================
A curve from noisy numbers
==========================

``EqPropRegressor`` learns curves from 200 noisy points. The choice of the loss decides how much
outliers pull on the curve, and whether predictions can be negative.
"""

# %%
# Data with outliers
# ------------------
#
# Every tenth point is moved up by 4. The regressor standardises its targets by itself.

import matplotlib.pyplot as plt
import numpy as np

from sklearn_eqprop import EqPropRegressor


def truth(x):
    return np.sin(2 * x) + 0.3 * x


rng = np.random.default_rng(0)
x = np.sort(rng.uniform(-3, 3, 200))
y = truth(x) + 0.2 * rng.standard_normal(200)
y[::10] += 4
fine = np.linspace(-3, 3, 400)
EPOCHS = 400

# %%
# Three losses
# ------------
#
# The squared error follows the mean of the targets, so outliers lift the curve. The absolute error
# follows the median. Huber's loss is between the two. Its threshold is one standard deviation of
# the targets.

figure, ax = plt.subplots(figsize=(9, 4.8), layout="constrained")
ax.plot(x, y, ".", color="grey", label="data")
ax.plot(fine, truth(fine), "k--", linewidth=1, label="curve without noise")
errors = {}
for loss in ("squared_error", "huber", "absolute_error"):
    model = EqPropRegressor((50, 50), loss=loss, alpha=1e-4, max_iter=EPOCHS, random_state=0)
    model.fit(x[:, None], y)
    curve = model.predict(fine[:, None])
    ax.plot(fine, curve, label=loss)
    errors[loss] = np.sqrt(np.mean((curve - truth(fine)) ** 2))
    print(f"{loss:15} distance from the curve {errors[loss]:.2f}, {model.n_iter_} epochs")
ax.set(xlabel="x", ylabel="y", title="The same data, three losses")
ax.legend(ncols=5, loc="upper center", bbox_to_anchor=(0.5, -0.12), frameon=False)
plt.show()

# %%
# Counts
# ------
#
# Numbers of events are never negative, and larger counts vary more. ``loss="poisson"`` is made for
# them: the output of the network is the logarithm of the expected count, so the prediction is
# always positive.


def expected(x):
    return np.exp(1.5 * np.sin(2 * x) + 0.3 * x)


counts = rng.poisson(expected(x))
figure, ax = plt.subplots(figsize=(9, 4.5), layout="constrained")
ax.plot(x, counts, ".", color="grey")
ax.plot(fine, expected(fine), "k--", linewidth=1, label="expected count")
curves = {}
for loss in ("squared_error", "poisson"):
    model = EqPropRegressor((50, 50), loss=loss, alpha=1e-4, max_iter=EPOCHS, random_state=0)
    curves[loss] = model.fit(x[:, None], counts).predict(fine[:, None])
    print(f"{loss:15} lowest prediction {curves[loss].min():+.2f}")
    ax.plot(fine, curves[loss], label=loss)
ax.axhline(0, color="grey", linewidth=0.8)
ax.set(xlabel="x", ylabel="count", title="Counts")
ax.legend()
plt.show()
