"""Public names for extensions: all that is needed to train your own `Substrate`, and `Result`."""

from sklearn_eqprop._backend import NumpyBackend
from sklearn_eqprop._feedback import FEEDBACK_WAYS
from sklearn_eqprop._losses.base import Loss
from sklearn_eqprop._losses.log_loss import LogLoss
from sklearn_eqprop._losses.squared_error import SquaredError
from sklearn_eqprop._losses.user_loss import UserLoss
from sklearn_eqprop._network import LoopGainGuard, initial_weights, layered_wiring, wired_network
from sklearn_eqprop._relaxation import Result
from sklearn_eqprop._rules.base import CreditRule
from sklearn_eqprop._rules.vector_field import NUDGINGS, VectorFieldRule
from sklearn_eqprop._substrates.limits import SettlingLimits
from sklearn_eqprop._substrates.seam import FreePhase, Substrate
from sklearn_eqprop._substrates.simulated import SimulatedNetwork
from sklearn_eqprop._training.adam import Adam
from sklearn_eqprop._training.epoch import EpochRecord, TrainingData, run_epoch
from sklearn_eqprop._training.sgd import SGD
from sklearn_eqprop._training.trainer import LearningSettings, Trainer, trained_parameters

__all__ = [
    "FEEDBACK_WAYS",
    "NUDGINGS",
    "SGD",
    "Adam",
    "CreditRule",
    "EpochRecord",
    "FreePhase",
    "LearningSettings",
    "LogLoss",
    "LoopGainGuard",
    "Loss",
    "NumpyBackend",
    "Result",
    "SettlingLimits",
    "SimulatedNetwork",
    "SquaredError",
    "Substrate",
    "Trainer",
    "TrainingData",
    "UserLoss",
    "VectorFieldRule",
    "initial_weights",
    "layered_wiring",
    "run_epoch",
    "trained_parameters",
    "wired_network",
]
