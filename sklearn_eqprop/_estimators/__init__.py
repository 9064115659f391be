"""What a scikit-learn user touches."""

from sklearn_eqprop._estimators.classifier import EqPropClassifier
from sklearn_eqprop._estimators.regressor import EqPropRegressor

__all__ = ["EqPropClassifier", "EqPropRegressor"]
