"""Hardware for the parameter `substrate`, and the classes to connect your own."""

from sklearn_eqprop._estimators.fitted.netlist import spice_transient, to_spice
from sklearn_eqprop._losses.base import Loss
from sklearn_eqprop._network import Network
from sklearn_eqprop._network.network import Parameter
from sklearn_eqprop._relaxation import Result
from sklearn_eqprop._substrates.hardware.analog_chip import AnalogChip
from sklearn_eqprop._substrates.hardware.checking import check_substrate
from sklearn_eqprop._substrates.hardware.connected import Hardware
from sklearn_eqprop._substrates.hardware.spice import SpiceCircuit
from sklearn_eqprop._substrates.hardware.spiking import SpikingNetwork
from sklearn_eqprop._substrates.phases import FreePhase
from sklearn_eqprop._substrates.seam import (
    ClampableSubstrate,
    Flow,
    FlowingSubstrate,
    ProbedSubstrate,
    SlopedSubstrate,
    Substrate,
    TransposableSubstrate,
    WritingSubstrate,
)

__all__ = [
    "AnalogChip",
    "ClampableSubstrate",
    "Flow",
    "FlowingSubstrate",
    "FreePhase",
    "Hardware",
    "Loss",
    "Network",
    "Parameter",
    "ProbedSubstrate",
    "Result",
    "SlopedSubstrate",
    "SpiceCircuit",
    "SpikingNetwork",
    "Substrate",
    "TransposableSubstrate",
    "WritingSubstrate",
    "check_substrate",
    "spice_transient",
    "to_spice",
]
