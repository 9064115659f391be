"""Neural networks trained by equilibrium propagation, as scikit-learn estimators."""

from sklearn_eqprop._estimators import EqPropClassifier, EqPropRegressor
from sklearn_eqprop._network import Conv2D

__version__ = "0.1.0.dev0"

__all__ = ["Conv2D", "EqPropClassifier", "EqPropRegressor", "__version__"]
