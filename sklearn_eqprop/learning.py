"""How the network learns: costs, nudging, credit rules, optimisers, the training step.

What stands in this list is all it takes to train a `Substrate` of one's own.
"""

from sklearn_eqprop._losses.classification import LogLoss, Loss, SquaredError
from sklearn_eqprop._rules.nudging import NUDGINGS
from sklearn_eqprop._rules.two_phase import CreditRule, VectorFieldRule
from sklearn_eqprop._substrates.limits import SettlingLimits
from sklearn_eqprop._substrates.seam import FreePhase, Substrate
from sklearn_eqprop._substrates.simulated import SimulatedNetwork
from sklearn_eqprop._training.epoch import EpochRecord, TrainingData, run_epoch
from sklearn_eqprop._training.optimizers import SGD, Adam
from sklearn_eqprop._training.trainer import LearningSettings, Trainer, trained_parameters

__all__ = [
    "NUDGINGS",
    "SGD",
    "Adam",
    "CreditRule",
    "EpochRecord",
    "FreePhase",
    "LearningSettings",
    "LogLoss",
    "Loss",
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
