"""
=======================================
Settling, and error signals coming down
=======================================

A network settles from the input up. Then its output is nudged, and the change comes down. This
change *is* the error signal: the velocity of each layer, in units of the nudge, is its error
derivative (Theorem 4, Scellier et al. 2018). It starts at the output and arrives layer by layer.
"""

# %%
# A deep network
# --------------
#
# Four hidden layers of tanh units, trained on scikit-learn's digits.

import copy
import warnings

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_digits
from sklearn.exceptions import ConvergenceWarning
from sklearn.preprocessing import StandardScaler

from sklearn_eqprop import EqPropClassifier
from sklearn_eqprop.diagnostics import error_processes

HIDDEN = (64, 64, 64, 64)
EPOCHS = 10
TRAIN_ROWS = 1500
ROWS = 100  # samples to look at
STEP = 0.1  # Euler step of both phases, in time constants of a unit
TIME = 16.0  # length of both phases

X, y = load_digits(return_X_y=True)
X = StandardScaler().fit_transform(X)
model = EqPropClassifier(
    HIDDEN,
    activation="tanh",
    loop_gain=0.8,
    max_iter=EPOCHS,
    learning_rate="cosine",
    random_state=0,
).fit(X[:TRAIN_ROWS], y[:TRAIN_ROWS])
X_seen, y_seen = X[-ROWS:], y[-ROWS:]

# %%
# Up: the free phase
# ------------------
#
# A phase that is cut off shows the states on the way to the equilibrium. We measure the distance of
# each layer from its equilibrium, in units of the length of its state.

rest = model.relax(X_seen).states
watched = copy.deepcopy(model).set_params(relaxation="euler", step_size=STEP)
times = np.arange(STEP, TIME, 3 * STEP)
distance = []
with warnings.catch_warnings():
    warnings.simplefilter("ignore", ConvergenceWarning)  # cut off on purpose
    for time in times:
        states = watched.set_params(max_relax_iter=round(time / STEP)).relax(X_seen).states
        distance.append(
            [np.linalg.norm(s - r) / np.linalg.norm(r) for s, r in zip(states, rest, strict=True)]
        )
distance = np.array(distance)

# %%
# Down: the nudged phase
# ----------------------
#
# ``error_processes`` follows σ, the velocity of each layer in units of the nudge.

processes = error_processes(
    model, X_seen, y_seen, step_size=STEP, max_time=TIME, tol=0, n_records=100
)
peaks = processes.sigma_size.max(axis=0)
peak_times = processes.times[processes.sigma_size.argmax(axis=0)]
settled = [times[(of_layer < 0.01).argmax()] for of_layer in distance.T]
print("layer   within 1 % of its equilibrium at   error signal peaks at    peak")
for layer, numbers in enumerate(zip(settled, peak_times, peaks, strict=True), start=1):
    print("{:5d} {:32.1f} {:24.1f} {:9.0e}".format(layer, *numbers))

# %%
# Left, layers reach their equilibrium from the input up. Right, each signal is drawn in units of
# its own peak, and the legend gives the size of the peak. Feedback is weaker than the forward
# weights, so the signal becomes smaller on its way. ``layerwise_rescale`` corrects this.

figure, (left, right) = plt.subplots(1, 2, figsize=(11, 4.4), layout="constrained")
colours = plt.get_cmap("viridis")(np.linspace(0, 0.9, len(peaks)))
for layer, colour in enumerate(colours):
    name = f"layer {layer + 1}"
    left.plot(times, distance[:, layer], color=colour, label=name)
    size = processes.sigma_size[:, layer] / peaks[layer]
    right.plot(processes.times, size, color=colour, label=f"{name}, peak {peaks[layer]:.0e}")
left.set(
    yscale="log",
    ylim=(1e-4, 2),
    ylabel="distance from the equilibrium / its length",
    title="Free phase: layers settle from the input up",
)
right.set(
    ylabel="|σ| / its peak", title="Nudged phase: the error signal comes down", ylim=(0, 1.05)
)
for ax in (left, right):
    ax.set(xlabel="time, in time constants of a unit", xlim=(0, TIME))
    ax.grid(alpha=0.3)
    ax.legend()
plt.show()
