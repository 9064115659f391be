"""Public names for devices that stand in for the simulated network: all to write your own."""

from sklearn_eqprop._losses.base import Loss
from sklearn_eqprop._network import Network
from sklearn_eqprop._network.network import Parameter
from sklearn_eqprop._relaxation import Result
from sklearn_eqprop._substrates.devices.analog_chip import AnalogChip
from sklearn_eqprop._substrates.devices.checking import check_substrate
from sklearn_eqprop._substrates.devices.connected import Device
from sklearn_eqprop._substrates.phases import FreePhase
from sklearn_eqprop._substrates.seam import Substrate

__all__ = [
    "AnalogChip",
    "Device",
    "FreePhase",
    "Loss",
    "Network",
    "Parameter",
    "Result",
    "Substrate",
    "check_substrate",
]
