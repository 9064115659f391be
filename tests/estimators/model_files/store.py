"""Store a model of each kind as this version writes it, for later versions to read.

Run once a release, from the repository root: python tests/estimators/model_files/store.py
"""

import copy
import warnings
from pathlib import Path

import joblib
import numpy as np

import sklearn_eqprop
from sklearn_eqprop import EqPropClassifier, EqPropRegressor

SETTINGS = {"hidden_layer_sizes": (5, 4), "max_iter": 8, "batch_size": 8, "random_state": 0}


def main():
    rng = np.random.RandomState(0)
    X = rng.standard_normal((24, 3))
    targets = {
        "classifier": (EqPropClassifier, (X[:, 0] * X[:, 1] > 0).astype(int)),
        "regressor": (EqPropRegressor, 100 * X[:, 0] + X[:, 1] ** 2),
    }
    for name, (estimator, y) in targets.items():
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            model = estimator(**SETTINGS).fit(X, y)
            later = copy.deepcopy(model).partial_fit(X, y)
        fixture = {
            "model": model,
            "X": X,
            "y": y,
            "predicted": model.predict(X),
            "output": model.relax(X).states[-1],
            "next_loss": later.loss_curve_[-1],
        }
        path = Path(__file__).parent / f"{name}-{sklearn_eqprop.__version__}.joblib"
        joblib.dump(fixture, path, compress=3)
        print(path.name, path.stat().st_size, "bytes")


if __name__ == "__main__":
    main()
