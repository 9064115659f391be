"""
What a convolutional network has learned
========================================

A network of two convolutional layers is trained by equilibrium propagation on scikit-learn's
digits. The picture shows its first kernels, its first layer at the equilibrium of one digit, some
forward kernels of the second convolution, and the feedback kernels beside them.

    python examples/plot_convolutions.py --output convolutions.png
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

from sklearn_eqprop import Conv2D, EqPropClassifier

N_MAPS = 12


def train(n_epochs: int = 30, n_rows: int | None = None):
    """Return a fitted network and the held-out digits."""
    X, y = load_digits(return_X_y=True)
    X = (X / 16).astype(np.float32)
    X_train, X_test, y_train, y_test = train_test_split(X, y, stratify=y, random_state=0)
    model = EqPropClassifier(
        (Conv2D(N_MAPS, 3, padding="same"), Conv2D(24, 3, pool=2), 64),
        input_shape=(8, 8),
        batch_size=50,
        learning_rate="cosine",
        max_iter=n_epochs,
        n_iter_no_change=None,
        random_state=0,
    )
    model.fit(X_train[:n_rows], y_train[:n_rows])
    return model, X_test, y_test


def kernel_cosines(model) -> np.ndarray:
    """Return the cosine of each feedback kernel to layer 1 with its forward kernel."""
    forward, back = (
        coef.transpose(2, 3, 0, 1).reshape(-1, 9)
        for coef in (model.coefs_[1], model.feedback_coefs_[0])
    )
    sizes = np.linalg.norm(forward, axis=1) * np.linalg.norm(back, axis=1)
    return (forward * back).sum(axis=1) / sizes


def draw(model, image: np.ndarray, path: Path) -> None:
    """Draw kernels, feedback kernels and the equilibrium of one image into a file."""
    import matplotlib.pyplot as plt

    states = model.relax(image[None]).states
    maps = states[0].reshape(8, 8, N_MAPS)
    forward, back = model.coefs_[1], model.feedback_coefs_[0]
    rows = {
        "kernels of layer 1": model.coefs_[0][:, :, 0].transpose(2, 0, 1),
        "layer 1 at the\nequilibrium": maps.transpose(2, 0, 1),
        "kernels of layer 2,\nto its channel 0": forward[..., 0].transpose(2, 0, 1),
        "feedback kernels\nbeside them": back[..., 0].transpose(2, 0, 1),
    }
    figure, axes = plt.subplots(len(rows), N_MAPS + 1, figsize=(N_MAPS + 2.4, 4.4))
    figure.subplots_adjust(left=0.12, right=0.99, top=0.98, bottom=0.02)
    for axis in axes.ravel():
        axis.set_axis_off()
    axes[1, 0].imshow(image.reshape(8, 8), cmap="gray_r")
    axes[1, 0].set_title("input", fontsize=9)
    for line, (name, pictures) in zip(axes, rows.items(), strict=True):
        largest = abs(pictures).max()
        signed = pictures.min() < 0
        style = {"vmin": -largest if signed else 0, "vmax": largest}
        for axis, picture in zip(line[1:], pictures, strict=True):
            axis.imshow(picture, cmap="RdBu_r" if signed else "gray_r", **style)
        position = line[1].get_position()
        middle = (position.y0 + position.y1) / 2
        figure.text(0.015, middle, name, va="center", fontsize=9)
    figure.savefig(path, dpi=150)
    plt.close(figure)


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[1])
    parser.add_argument("--output", type=Path, default=Path("convolutions.png"))
    parser.add_argument("--epochs", type=int, default=30)
    parser.add_argument("--rows", type=int, help="number of digits to train on; all by default")
    options = parser.parse_args(arguments)
    model, X_test, y_test = train(options.epochs, options.rows)
    cosines = kernel_cosines(model)
    print(f"Accuracy on {len(y_test)} digits held out: {model.score(X_test, y_test):.3f}")
    print(
        "Cosine of feedback kernels with the forward kernels beside them: "
        f"{cosines.mean():.3f} on average, {cosines.min():.3f} at least"
    )
    draw(model, X_test[0], options.output)
    print(f"Picture written to {options.output}")


if __name__ == "__main__":
    main()
