"""What the network is: layers, connections, parameters and how they start."""

from sklearn_eqprop.network.activations import ACTIVATIONS, Activation
from sklearn_eqprop.network.connections import Dense, TiedFeedback
from sklearn_eqprop.network.gains import feedback_gains
from sklearn_eqprop.network.loop_gain import LoopGainGuard, allowed_loop_product, excess_gain
from sklearn_eqprop.network.network import Network, Parameter
from sklearn_eqprop.network.structure import initial_weights, wired_network
from sklearn_eqprop.network.wiring import Wiring, layered_wiring, reachable

__all__ = [
    "ACTIVATIONS",
    "Activation",
    "Dense",
    "LoopGainGuard",
    "Network",
    "Parameter",
    "TiedFeedback",
    "Wiring",
    "allowed_loop_product",
    "excess_gain",
    "feedback_gains",
    "initial_weights",
    "layered_wiring",
    "reachable",
    "wired_network",
]
