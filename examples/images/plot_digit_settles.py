"""
=============================
A digit settles and is nudged
=============================

This page animates one prediction and one learning step. First the network settles: activity comes
up from the image to the outputs. Then its outputs are nudged towards the right answer, and the
change comes down. This second movement is all that the weights need to learn.
"""

# %%
# A network that takes its time
# -----------------------------
#
# We train a network with two hidden layers, strong feedback (``loop_gain=0.8``) and units between 0
# and 1. Then we take a test digit that the network gets wrong.

import copy
import warnings

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.animation import FuncAnimation
from sklearn.datasets import load_digits
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import train_test_split

from sklearn_eqprop import EqPropClassifier

EPOCHS = 15
BETA = 2.0
STEP = 0.2  # of time, in time constants of a unit
N_STEPS = 30  # in each phase

X, y = load_digits(return_X_y=True)
X_train, X_test, y_train, y_test = train_test_split(X / 16, y, stratify=y, random_state=0)
model = EqPropClassifier(
    (36, 25),
    activation="hard_sigmoid",
    loop_gain=0.8,
    max_iter=EPOCHS,
    n_iter_no_change=None,
    learning_rate="cosine",
    learning_rate_init=0.01,
    random_state=0,
).fit(X_train, y_train)
wrong = np.flatnonzero(model.predict(X_test) != y_test)
print(f"{len(wrong)} of {len(y_test)} test digits are wrong.")
image, label = X_test[wrong[:1]], y_test[wrong[:1]]
print(f"The first of them is a {label[0]}, and the network says {model.predict(image)[0]}.")

# %%
# States on the way
# -----------------
#
# ``relax`` returns the states at the end of a phase. ``max_relax_iter`` and ``max_nudge_iter`` cut
# the phases off, so we ask for the states after 1, 2, 3, ... steps. A nudged phase starts at the
# free equilibrium.

walker = copy.deepcopy(model).set_params(relaxation="euler", step_size=STEP)


def states_after(n_free, n_nudged=0):
    """Return the states of the three layers after some steps of each phase."""
    walker.set_params(max_relax_iter=max(n_free, 1), max_nudge_iter=max(n_nudged, 1))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # cut off on purpose
        result = walker.relax(image, label, BETA) if n_nudged else walker.relax(image)
    return [layer[0] for layer in result.states]


LONG = 500  # steps until the free phase has settled
path = [states_after(n) for n in range(1, N_STEPS + 1)]
path += [states_after(LONG, n) for n in range(1, N_STEPS + 1)]
rest = states_after(LONG)

# %%
# Six moments
# -----------
#
# The upper row of pictures shows the states of the hidden layers, as 6 × 6 and 5 × 5 units. The
# bars are the outputs: the highest is the prediction, and the right answer is orange. The lower
# row, in the nudged phase, shows how far each unit is from its free equilibrium (red: higher, blue:
# lower), in units of the largest displacement of its layer.

moved = [max(np.abs(s[layer] - rest[layer]).max() for s in path[N_STEPS:]) for layer in range(3)]


def draw(axes, states, nudged):
    """Draw the states, and their displacement in a nudged phase, into a column of axes."""
    for layer, side in ((0, 6), (1, 5)):
        grid = states[layer].reshape(side, side)
        change = (states[layer] - rest[layer]).reshape(side, side) / moved[layer]
        axes[layer].imshow(grid, vmin=0, vmax=1, cmap="viridis")
        axes[layer + 3].imshow(change * nudged, vmin=-1, vmax=1, cmap="RdBu_r")
    colours = ["C1" if digit == label[0] else "C0" for digit in range(10)]
    axes[2].bar(range(10), states[2], color=colours)
    axes[5].bar(range(10), (states[2] - rest[2]) / moved[2] * nudged, color=colours)
    axes[2].set(ylim=(-5, 5), xticks=range(10))
    axes[5].set(ylim=(-1.1, 1.1), xticks=range(10))
    for ax in axes:
        ax.set(yticks=[])
        ax.tick_params(labelsize=7)
    for layer in (0, 1, 3, 4):
        axes[layer].set(xticks=[])


NAMES = ("layer 1", "layer 2", "output", "layer 1,\nmoved", "layer 2,\nmoved", "output,\nmoved")
moments = (0, 4, 12, N_STEPS + 1, N_STEPS + 6, 2 * N_STEPS - 1)
figure, axes = plt.subplots(6, len(moments), figsize=(11, 10), layout="constrained")
for column, moment in zip(axes.T, moments, strict=True):
    nudged = moment >= N_STEPS
    draw(column, path[moment], nudged)
    for ax in column[3:]:
        ax.set_visible(nudged)
    time = STEP * (moment % N_STEPS + 1)
    column[0].set_title(f"{'nudged' if nudged else 'free'} phase\ntime {time:.1f}")
for row, name in enumerate(NAMES):
    ax = axes[row, 0 if row < 3 else moments.index(N_STEPS + 1)]
    ax.set_ylabel(name, rotation=0, ha="right", va="center")
plt.show()

# %%
# The same as a film
# ------------------

figure = plt.figure(figsize=(9, 4.6), layout="constrained")
grid = figure.subplots(2, 4)
grid[0, 0].imshow(image.reshape(8, 8), cmap="gray_r")
grid[0, 0].set(title=f"input: a {label[0]}", xticks=[], yticks=[])
grid[1, 0].axis("off")
axes = [*grid[0, 1:], *grid[1, 1:]]


def frame(moment):
    nudged = moment >= N_STEPS
    for ax, name in zip(axes, NAMES, strict=True):
        ax.clear()
        ax.set_title(name.replace("\n", " "))
    draw(axes, path[moment], nudged)
    figure.suptitle(
        f"{'nudged' if nudged else 'free'} phase, time {STEP * (moment % N_STEPS + 1):.1f}"
    )


film = FuncAnimation(figure, frame, frames=len(path), interval=150)
plt.show()

# %%
# Layer 2 moves before layer 1 in the nudged phase, because the nudge starts at the outputs. The
# displacements are small: the largest of each layer are printed below. Feedback is weaker than the
# forward weights, so less arrives in lower layers.

for name, size in zip(NAMES, moved, strict=False):
    print(f"{name}: {size:.1e}")
