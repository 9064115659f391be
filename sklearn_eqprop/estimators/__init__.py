"""What a scikit-learn user touches."""

from sklearn_eqprop.estimators.classifier import EqPropClassifier
from sklearn_eqprop.estimators.regressor import EqPropRegressor

__all__ = ["EqPropClassifier", "EqPropRegressor"]
