"""
=====================
Shared by these pages
=====================

Several pages of this group use these functions. One loads images, one returns the update of a
model.
"""

import copy

import numpy as np
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split


def load_images(path=None):
    """Return X_train, X_test, y_train, y_test; pixels are in [0, 1].

    ``path`` is an npz file with the uint8 arrays ``x_train``, ``y_train``, ``x_test`` and
    ``y_test``, for example MNIST. Without it the images are scikit-learn's digits.
    """
    if path is None:
        X, y = load_digits(return_X_y=True)
        return train_test_split((X / 16).astype(np.float32), y, stratify=y, random_state=0)
    with np.load(path) as arrays:
        images = [arrays[name] for name in ("x_train", "x_test")]
        labels = [arrays[name].astype(int) for name in ("y_train", "y_test")]
    return [x.reshape(len(x), -1).astype(np.float32) / 255 for x in images] + labels


def update(model, X, y, **parameters):
    """Return the change of all weights and biases in one gradient step of rate 1, as one vector.

    The step is made by a copy of the model, with other parameters if some are given.
    """
    model = copy.deepcopy(model)
    model.set_params(
        optimizer="sgd", momentum=0, learning_rate_init=1.0, alpha=0, batch_size=len(X)
    )
    model.set_params(**parameters)
    before = vector(model)
    model.partial_fit(X, y)
    return vector(model) - before


def vector(model):
    """Return all trained arrays of a network as one vector; tied feedback is not among them."""
    arrays = [*model.coefs_, *model.intercepts_]
    if model.feedback != "tied":
        arrays += model.feedback_coefs_
    return np.concatenate([array.ravel() for array in arrays])
