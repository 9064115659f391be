"""Load the data sets of the benchmarks: from scikit-learn, generated, or given by path."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from sklearn import datasets


@dataclass(frozen=True)
class Dataset:
    """One task: `kind` is 'classification' or 'regression'."""

    name: str
    kind: str
    X: np.ndarray
    y: np.ndarray


def load_images(path: Path) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Load x_train, y_train, x_test, y_test of an .npz file; images as float32 rows in [0, 1]."""
    with np.load(path) as archive:
        x_train, y_train, x_test, y_test = (
            archive[name] for name in ("x_train", "y_train", "x_test", "y_test")
        )

    def rows(images: np.ndarray) -> np.ndarray:
        return images.reshape(images.shape[0], -1).astype(np.float32) / 255

    return rows(x_train), y_train.astype(int), rows(x_test), y_test.astype(int)


def _image_files(data: list[Path]) -> Iterator[Path]:
    for path in data:
        yield from sorted(path.glob("*.npz")) if path.is_dir() else [path]


def _california_like(n_samples: int = 4000) -> tuple[np.ndarray, np.ndarray]:
    """Draw eight skewed features and a capped, noisy target, similar to California housing."""
    rng = np.random.RandomState(0)
    X = rng.standard_normal((n_samples, 8))
    X[:, :4] = np.exp(0.7 * X[:, :4])
    signal = (
        np.log1p(X[:, 0] * X[:, 1])
        + np.sin(2 * X[:, 4]) * X[:, 5]
        + 0.5 * np.hypot(X[:, 6], X[:, 7])
        - 0.3 * X[:, 2]
    )
    y = np.minimum(signal + 0.7 * rng.standard_normal(n_samples), 3.0)
    return X, y


def _sine(n_samples: int = 300) -> tuple[np.ndarray, np.ndarray]:
    """Draw one input; the target is a wave with a little noise."""
    rng = np.random.RandomState(0)
    X = rng.uniform(-2, 2, (n_samples, 1))
    return X, np.sin(3 * X[:, 0]) + 0.1 * rng.standard_normal(n_samples)


def _waves(n_samples: int = 400) -> tuple[np.ndarray, np.ndarray]:
    """Draw two inputs; the target is a product of waves without noise."""
    X = np.random.RandomState(0).uniform(-2, 2, (n_samples, 2))
    return X, np.sin(2 * X[:, 0]) * np.cos(2 * X[:, 1])


def _classification() -> Iterator[tuple[str, tuple[np.ndarray, np.ndarray]]]:
    yield "iris", datasets.load_iris(return_X_y=True)
    yield "wine", datasets.load_wine(return_X_y=True)
    yield "breast_cancer", datasets.load_breast_cancer(return_X_y=True)
    yield "digits", datasets.load_digits(return_X_y=True)
    yield "moons", datasets.make_moons(1000, noise=0.25, random_state=0)
    yield "circles", datasets.make_circles(1000, noise=0.12, factor=0.6, random_state=0)
    yield "classification", datasets.make_classification(2000, 20, n_informative=8, random_state=0)
    yield (
        "five_classes",
        datasets.make_classification(
            2000, 40, n_informative=10, n_redundant=10, n_classes=5, random_state=0
        ),
    )
    yield (
        "quantiles_10",
        datasets.make_gaussian_quantiles(n_samples=2000, n_features=10, random_state=0),
    )
    yield (
        "quantiles_4",
        datasets.make_gaussian_quantiles(n_samples=2000, n_features=4, n_classes=4, random_state=0),
    )


def _regression() -> Iterator[tuple[str, tuple[np.ndarray, np.ndarray]]]:
    yield "diabetes", datasets.load_diabetes(return_X_y=True)
    yield "friedman1", datasets.make_friedman1(2000, noise=1.0, random_state=0)
    yield "linear_50", datasets.make_regression(1000, 50, noise=10.0, random_state=0)
    yield "california_like", _california_like()
    yield "friedman3", datasets.make_friedman3(2000, noise=0.1, random_state=0)
    yield (
        "three_outputs",
        datasets.make_regression(1000, 20, n_informative=10, n_targets=3, noise=10, random_state=0),
    )
    yield "sine", _sine()
    yield "waves", _waves()


def small_datasets(data: list[Path], n_images: int = 6000) -> list[Dataset]:
    """Return all tasks of at most a few thousand rows.

    Parameters
    ----------
    data : list of Path
        Image archives, or folders of them, of which the first `n_images` rows are used.
    n_images : int, default=6000
    """
    tasks = [Dataset(name, "classification", X, y) for name, (X, y) in _classification()]
    for path in _image_files(data):
        X, y, _, _ = load_images(path)
        name = f"{path.stem}_{n_images // 1000}k"
        tasks.append(Dataset(name, "classification", X[:n_images], y[:n_images]))
    tasks += [Dataset(name, "regression", X, y) for name, (X, y) in _regression()]
    return tasks
