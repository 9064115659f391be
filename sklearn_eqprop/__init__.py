"""Neural networks trained by equilibrium propagation, as scikit-learn estimators."""

from sklearn_eqprop.estimators import EqPropClassifier, EqPropRegressor
from sklearn_eqprop.network import Conv2D

__version__ = "0.1.0.dev0"

__all__ = ["Conv2D", "EqPropClassifier", "EqPropRegressor", "__version__"]
