"""How the network learns: costs, nudging, credit rules, optimisers, the training step.

What stands in this list is all it takes to train a `Substrate` of one's own.
"""

from sklearn_eqprop.learning.costs import Cost, LogLoss, SquaredError
from sklearn_eqprop.learning.credit import CreditRule, VectorFieldRule
from sklearn_eqprop.learning.epoch import EpochRecord, TrainingData, run_epoch
from sklearn_eqprop.learning.limits import SettlingLimits
from sklearn_eqprop.learning.nudging import NUDGINGS
from sklearn_eqprop.learning.optimizers import SGD, Adam
from sklearn_eqprop.learning.seam import FreePhase, Substrate
from sklearn_eqprop.learning.substrate import SimulatedNetwork
from sklearn_eqprop.learning.trainer import LearningSettings, Trainer, trained_parameters

__all__ = [
    "NUDGINGS",
    "SGD",
    "Adam",
    "Cost",
    "CreditRule",
    "EpochRecord",
    "FreePhase",
    "LearningSettings",
    "LogLoss",
    "SettlingLimits",
    "SimulatedNetwork",
    "SquaredError",
    "Substrate",
    "Trainer",
    "TrainingData",
    "VectorFieldRule",
    "run_epoch",
    "trained_parameters",
]
