"""Training: optimisers, learning-rate schedules, the update of the parameters, the epoch.

To add an optimiser, write one file with a subclass of `Optimizer` and import the class below.
"""

from sklearn_eqprop._registry import named_classes
from sklearn_eqprop._training.adam import Adam
from sklearn_eqprop._training.epoch import SCHEDULES, Schedule
from sklearn_eqprop._training.sgd import SGD
from sklearn_eqprop._training.updates import Optimizer

#: Optimisers that the parameter ``optimizer`` chooses from, by name.
OPTIMIZERS: dict[str, type[Optimizer]] = {
    optimizer.name: optimizer for optimizer in named_classes(Optimizer, globals())
}
