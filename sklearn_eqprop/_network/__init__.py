"""The network: layers, connections, weights at the start, and the strength of feedback."""

from sklearn_eqprop._network.activations import ACTIVATIONS, Activation
from sklearn_eqprop._network.certainty import (
    FEWEST_ROWS,
    IsDecided,
    OutputBound,
    Reach,
    enough_to_decide,
    output_bound,
)
from sklearn_eqprop._network.connections import Connection, Dense, Pair, Reversed, TiedFeedback
from sklearn_eqprop._network.conv2d import Conv2D, ConvGeometry
from sklearn_eqprop._network.convolution import Convolution
from sklearn_eqprop._network.gains import (
    SMALLEST_GAIN,
    LoopGainGuard,
    allowed_loop_product,
    arrival_scales,
    attenuations,
    excess_gain,
    feedback_gains,
)
from sklearn_eqprop._network.initial_weights import feedback_order, initial_weights
from sklearn_eqprop._network.max_pooling import PooledConvolution
from sklearn_eqprop._network.network import Network, Parameter
from sklearn_eqprop._network.structure import (
    Layout,
    Wiring,
    dense_layout,
    layered_wiring,
    layout_of,
    reachable,
    wired_network,
)

__all__ = [
    "ACTIVATIONS",
    "FEWEST_ROWS",
    "SMALLEST_GAIN",
    "Activation",
    "Connection",
    "Conv2D",
    "ConvGeometry",
    "Convolution",
    "Dense",
    "IsDecided",
    "Layout",
    "LoopGainGuard",
    "Network",
    "OutputBound",
    "Pair",
    "Parameter",
    "PooledConvolution",
    "Reach",
    "Reversed",
    "TiedFeedback",
    "Wiring",
    "allowed_loop_product",
    "arrival_scales",
    "attenuations",
    "dense_layout",
    "enough_to_decide",
    "excess_gain",
    "feedback_gains",
    "feedback_order",
    "initial_weights",
    "layered_wiring",
    "layout_of",
    "output_bound",
    "reachable",
    "wired_network",
]
