"""The network: layers, connections, weights at the start, and the strength of feedback."""

from sklearn_eqprop._network.activations import ACTIVATIONS, Activation
from sklearn_eqprop._network.certainty import (
    FEWEST_ROWS_TO_DECIDE,
    Reach,
    enough_to_decide,
    output_bound,
)
from sklearn_eqprop._network.connections import Connection, Dense, Pair, Reversed, TiedFeedback
from sklearn_eqprop._network.conv2d import Conv2D
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
from sklearn_eqprop._network.image_layout import layout_of
from sklearn_eqprop._network.max_pooling import PooledConvolution
from sklearn_eqprop._network.network import Network
from sklearn_eqprop._network.structure import (
    SHALLOW,
    Layout,
    Wiring,
    dense_layout,
    feedback_order,
    initial_weights,
    layered_wiring,
    reachable,
    wired_network,
)
