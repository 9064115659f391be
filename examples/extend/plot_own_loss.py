"""
==================
A loss of your own
==================

Any object with the methods ``value`` and ``derivative`` can be the loss of an estimator. Here it is
the pinball loss, which estimates quantiles. Three networks learn the lower edge, the middle and the
upper edge of a cloud of points.
"""

# %%
# Two methods
# -----------
#
# Let :math:`r = y - s` be the target minus the output. The pinball loss of the quantile :math:`q`
# is :math:`q\,r` for positive :math:`r`, and :math:`(q - 1)\,r` for negative :math:`r`. With
# :math:`q = 0.9`, too small a prediction costs nine times as much as one that is too large.
# ``value`` returns one number per sample. ``derivative`` has the shape of the outputs. Before
# training, ``fit`` compares it with finite differences of ``value``.

import matplotlib.pyplot as plt
import numpy as np

from sklearn_eqprop import EqPropRegressor


class Pinball:
    def __init__(self, quantile):
        self.quantile = quantile

    def value(self, output, target):
        above = target - output
        return np.maximum(self.quantile * above, (self.quantile - 1) * above).sum(axis=1)

    def derivative(self, output, target):
        return np.where(output > target, 1 - self.quantile, -self.quantile)


# %%
# Quantiles of a cloud
# --------------------
#
# The noise grows from left to right. The network needs no change for the new loss: the nudge pushes
# its output by minus the derivative, whatever that is.

EPOCHS = 150

rng = np.random.default_rng(0)
x = np.sort(rng.uniform(0, 4, 600))
y = np.sin(1.5 * x) + (0.1 + 0.15 * x) * rng.standard_normal(600)
fine = np.linspace(0, 4, 200)

figure, ax = plt.subplots(figsize=(9, 4.8), layout="constrained")
ax.plot(x, y, ".", color="grey", markersize=4)
curves, shares = {}, {}
for quantile in (0.1, 0.5, 0.9):
    model = EqPropRegressor((40, 40), loss=Pinball(quantile), max_iter=EPOCHS, random_state=0)
    model.set_params(nudging="centered", learning_rate="cosine", n_iter_no_change=None)
    model.fit(x[:, None], y)
    curves[quantile] = model.predict(fine[:, None])
    shares[quantile] = np.mean(y <= model.predict(x[:, None]))
    print(f"quantile {quantile}: {shares[quantile]:.1%} of the points are not above the curve")
    ax.plot(fine, curves[quantile], label=f"quantile {quantile}")
ax.fill_between(fine, curves[0.1], curves[0.9], alpha=0.15)
ax.set(xlabel="x", ylabel="y", title="About 80 % of the points lie in the band")
ax.legend(loc="lower left")
plt.show()

# %%
# The pinball loss has a kink, where a one-sided nudge is less accurate. So this example uses
# ``nudging="centered"``, the default of the regressor for losses without a known curvature.
# :ref:`learning_rules:a loss of your own` has all rules for losses.
