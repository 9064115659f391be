"""Neural networks trained by equilibrium propagation, as scikit-learn estimators."""

from sklearn_eqprop.estimators import EqPropClassifier, EqPropRegressor

__version__ = "0.1.0.dev0"

__all__ = ["EqPropClassifier", "EqPropRegressor", "__version__"]
