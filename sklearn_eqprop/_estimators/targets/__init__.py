"""The targets of the output layer, labels or numbers: how they are encoded, decoded and scored."""

from sklearn_eqprop._estimators.targets.labels import Labels
from sklearn_eqprop._estimators.targets.numbers import Numbers

#: The targets of a classifier or of a regressor. Both have the same methods.
Targets = Labels | Numbers

__all__ = ["Labels", "Numbers", "Targets"]
