"""Losses: how the output is judged, and the force with which it is nudged.

To add a loss, write one file with a subclass of `Loss` and import the class below.
"""

from sklearn_eqprop._losses.absolute_error import AbsoluteError
from sklearn_eqprop._losses.base import ClassificationLoss, Loss
from sklearn_eqprop._losses.huber import Huber
from sklearn_eqprop._losses.log_loss import LogLoss, MultilabelLogLoss
from sklearn_eqprop._losses.poisson import Poisson
from sklearn_eqprop._losses.squared_error import MultilabelSquaredError, SquaredError
from sklearn_eqprop._losses.user_loss import UserLoss, WrappedLoss
from sklearn_eqprop._registry import named_classes

_LOSSES = named_classes(Loss, globals())
#: Losses of a classifier with one class per sample, by name.
LABEL_LOSSES: dict[str, type[ClassificationLoss]] = {
    loss.name: loss for loss in _LOSSES if "labels" in loss.targets
}
#: Losses of a classifier with any number of labels per sample, by name.
MULTILABEL_LOSSES: dict[str, type[ClassificationLoss]] = {
    loss.name: loss for loss in _LOSSES if "multilabel" in loss.targets
}
#: Losses of a regressor, by name.
NUMBER_LOSSES: dict[str, type[Loss]] = {
    loss.name: loss for loss in _LOSSES if "numbers" in loss.targets
}
