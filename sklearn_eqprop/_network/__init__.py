"""What the network is: layers, connections, parameters and how they start."""

from sklearn_eqprop._network.activations import ACTIVATIONS, Activation
from sklearn_eqprop._network.connections import Dense, Reversed, TiedFeedback
from sklearn_eqprop._network.conv2d import Conv2D
from sklearn_eqprop._network.convolution import Convolution, PooledConvolution, rates_of
from sklearn_eqprop._network.gains import feedback_gains
from sklearn_eqprop._network.layout import Layout, dense_layout, layout_of
from sklearn_eqprop._network.loop_gain import LoopGainGuard, allowed_loop_product, excess_gain
from sklearn_eqprop._network.network import Network, Parameter
from sklearn_eqprop._network.reach import OutputBound, Reach, output_bound
from sklearn_eqprop._network.structure import feedback_order, initial_weights, wired_network
from sklearn_eqprop._network.wiring import Wiring, layered_wiring, reachable

__all__ = [
    "ACTIVATIONS",
    "Activation",
    "Conv2D",
    "Convolution",
    "Dense",
    "Layout",
    "LoopGainGuard",
    "Network",
    "OutputBound",
    "Parameter",
    "PooledConvolution",
    "Reach",
    "Reversed",
    "TiedFeedback",
    "Wiring",
    "allowed_loop_product",
    "dense_layout",
    "excess_gain",
    "feedback_gains",
    "feedback_order",
    "initial_weights",
    "layered_wiring",
    "layout_of",
    "output_bound",
    "rates_of",
    "reachable",
    "wired_network",
]
