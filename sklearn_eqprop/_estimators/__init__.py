"""The two estimators, and everything that knows scikit-learn."""

from sklearn_eqprop._estimators.classifier import EqPropClassifier
from sklearn_eqprop._estimators.regressor import EqPropRegressor

__all__ = ["EqPropClassifier", "EqPropRegressor"]
