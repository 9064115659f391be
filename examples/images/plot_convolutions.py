"""
========================================
What a convolutional network has learned
========================================

A network of two convolutional layers learns scikit-learn's digits by equilibrium propagation. This
page shows its first kernels, a layer at the equilibrium of one digit, and feedback kernels beside
the forward kernels.
"""

# %%
# Train
# -----
#
# Each row of ``X`` is a flattened image, and ``input_shape`` gives the shape of the image.

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

from sklearn_eqprop import Conv2D, EqPropClassifier

N_MAPS = 12
EPOCHS = 30
TRAIN_ROWS = 1347  # all of them

X, y = load_digits(return_X_y=True)
X = (X / 16).astype(np.float32)
X_train, X_test, y_train, y_test = train_test_split(X, y, stratify=y, random_state=0)
model = EqPropClassifier(
    (Conv2D(N_MAPS, 3, padding="same"), Conv2D(24, 3, pool=2), 64),
    input_shape=(8, 8),
    batch_size=50,
    learning_rate="cosine",
    max_iter=EPOCHS,
    n_iter_no_change=None,
    random_state=0,
)
model.fit(X_train[:TRAIN_ROWS], y_train[:TRAIN_ROWS])
accuracy = model.score(X_test, y_test)
print(f"Accuracy on {len(y_test)} digits held out: {accuracy:.3f}")

# %%
# Feedback follows the forward kernels
# ------------------------------------
#
# The default feedback learns by the Kolen-Pollack rule. Each feedback kernel stays almost parallel
# to the forward kernel beside it.

forward, back = model.coefs_[1], model.feedback_coefs_[0]
pairs = [kernels.transpose(2, 3, 0, 1).reshape(-1, 9) for kernels in (forward, back)]
sizes = [np.linalg.norm(kernels, axis=1) for kernels in pairs]
cosines = (pairs[0] * pairs[1]).sum(axis=1) / (sizes[0] * sizes[1])
print(f"Cosine with forward kernels: {cosines.mean():.3f} on average, {cosines.min():.3f} or more")

# %%
# Kernels and states
# ------------------
#
# Red is positive, blue is negative. States of ReLU units are 0 (white) or larger.

image = X_test[0]
maps = model.relax(image[None]).states[0].reshape(8, 8, N_MAPS)
rows = {
    "kernels of layer 1": model.coefs_[0][:, :, 0].transpose(2, 0, 1),
    "layer 1 at the\nequilibrium": maps.transpose(2, 0, 1),
    "kernels of layer 2,\nto its channel 0": forward[..., 0].transpose(2, 0, 1),
    "feedback kernels\nbeside them": back[..., 0].transpose(2, 0, 1),
}
figure, axes = plt.subplots(len(rows), N_MAPS + 1, figsize=(N_MAPS + 2.4, 4.4))
figure.subplots_adjust(left=0.12, right=0.99, top=0.98, bottom=0.02)
for ax in axes.ravel():
    ax.set_axis_off()
axes[1, 0].imshow(image.reshape(8, 8), cmap="gray_r")
axes[1, 0].set_title("input", fontsize=9)
for line, (name, pictures) in zip(axes, rows.items(), strict=True):
    largest = abs(pictures).max()
    signed = pictures.min() < 0
    for ax, picture in zip(line[1:], pictures, strict=True):
        ax.imshow(
            picture,
            cmap="RdBu_r" if signed else "gray_r",
            vmin=-largest if signed else 0,
            vmax=largest,
        )
    position = line[1].get_position()
    figure.text(0.015, (position.y0 + position.y1) / 2, name, va="center", fontsize=9)
plt.show()
