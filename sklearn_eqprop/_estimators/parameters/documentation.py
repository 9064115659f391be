"""The text on parameters and attributes that both estimators share, from one source."""

import inspect
import re
from collections.abc import Callable, Mapping
from dataclasses import fields
from typing import Any, TypeVar

from sklearn_eqprop._feedback import FEEDBACK_WAYS
from sklearn_eqprop._network import ACTIVATIONS
from sklearn_eqprop._relaxation import RELAXATIONS
from sklearn_eqprop._rules import NUDGINGS, RULES
from sklearn_eqprop._training import OPTIMIZERS, SCHEDULES

Estimator = TypeVar("Estimator", bound=type)

#: Classes that a parameter chooses from, by name.
REGISTRIES: dict[str, Mapping[str, Any]] = {
    "activation": ACTIVATIONS,
    "output_activation": {name: rho for name, rho in ACTIVATIONS.items() if rho.transmits_state},
    "optimizer": OPTIMIZERS,
    "gradient": RULES,
    "nudging": NUDGINGS,
    "feedback_learning": FEEDBACK_WAYS,
    "relaxation": RELAXATIONS,
    "learning_rate": SCHEDULES,
}

PARAMETERS = """\
Parameters
----------
hidden_layer_sizes : int, Conv2D or sequence of them, default
    Network. Number of units of each hidden layer, from the input side to the output side. A
    `Conv2D` makes a convolutional layer; these come first and need `input_shape`. More than three
    hidden layers start near the identity if all are dense and `connections` is None (see "Deep
    networks" in the user guide).
activation : {choices}, default
    Network. Activation ρ of the hidden units. With 'relu' and 'hard_sigmoid' (the paper's) the
    states stay in the range of ρ while they settle (Eq. 77).
output_activation : {choices}, default
    Network. Activation of the output units. 'hard_sigmoid' (the paper's) keeps them between 0 and
    1, 'relu' above 0. Both need a loss that compares each output with its target, such as
    'squared_error'. With 'hard_sigmoid' a regressor predicts numbers in the range of its targets.
connections : list of (int, int), (int, int, kind) or None, default
    Network. All connections as (source layer, target layer); layer 0 is the input, the last layer
    is the output. None: neighbouring layers drive each other, which is
    ``[(0, 1), (1, 2), (2, 1)]`` with one hidden layer. Pairs to a later layer are forward
    connections. All other pairs are feedback, including lateral ones from a layer to itself. An
    entry can have a kind as its third member. 'identity' joins each unit with the unit at the same
    place of a layer of the same shape, without weights (a residual connection). A `Conv2D` is the
    convolution of this connection; without it, the `Conv2D` of the target layer is used.
feedback : {'untied', 'tied'}, default
    Network. 'untied': feedback has its own weights, as in the paper. 'tied': feedback uses the
    transposed forward weights times γ, which is a number per connection (an energy-based network).
    `connections` cannot be lateral then. With ``feedback_scale=1.0, loop_gain=None`` feedback is
    as in Scellier & Bengio (2017).
feedback_init : {'transpose', 'independent'}, default
    Network. Feedback starts at `feedback_scale` times the transposed forward weights, or at
    `feedback_scale` times its own random weights. Not used with tied feedback.
feedback_scale : float, default
    Network. Strength γ of feedback relative to the forward weights when training starts, > 0.
    With tied feedback, a connection that skips layers starts at a power of γ (see the user guide).
loop_gain : float, 'auto' or None, default
    Network. Bound in (0, 1) on the gain of the feedback loops. It is kept after every update by
    shrinking feedback, and makes settling a contraction. None: no bound (the paper). 'auto' is 0.2.
    With n > 3 dense hidden layers in a row, 'auto' is 0.6 / n.
    With tied feedback γ shrinks, and the forward weights stay as they are.
{loss}
{label_smoothing}beta : float or 'auto', default
    Learning. Influence parameter β, the strength of the nudge; not 0. 'auto' is 0.5, and 1e-8 for
    'asymmetric'. ``float('inf')`` holds the output at the target (GeneRec, O'Reilly 1996; with tied
    weights contrastive Hebbian learning); it needs the squared error, 'one_sided' and
    'vector_field'. Without effect on 'recurrent_backprop'.
gradient : {choices}, default
    Learning. Credit rule. 'vector_field': two phases, Eqs. 18-19. 'asymmetric' and
    'recurrent_backprop' follow the exact gradient, but use connections in reverse. 'continual':
    weights move in every step of the nudged phase (Eqs. 2 and 5); it needs ``learning_rate_init``
    well below `beta`.
nudging : 'auto', {choices} or int, default
    Learning. How ds/dβ is estimated: from 0 and β (error O(β)); the same with a random sign of β
    per minibatch; or from β and -β (error O(β²), twice the time). 'auto' is 'one_sided' for
    'log_loss', 'squared_error' and 'huber', and 'centered' for other losses. A number N >= 3: from
    N complex β on a circle (error O(β^N), but slow; Laborieux & Zenke 2022); for
    'tanh', 'logistic' and 'identity' units, not for 'anderson', 'continual' and 'trajectory'.
feedback_learning : {choices}, default
    Learning. How untied feedback weights learn. 'kolen_pollack': γ times the transposed change of
    the forward weights, which keeps them aligned. 'local': their own ΔB (the paper).
    'homeostasis': their own ΔB, and responses to random pushes that align feedback from any start
    (Laborieux & Zenke 2023). 'fixed': not at all.
credit_coordinates : {'auto', 'state', 'rate'}, default
    Learning. Leave 'auto'. It matters for 'tanh' and 'logistic' units only. A weight multiplies
    its presynaptic rate with the displacement of the postsynaptic state (the paper) or rate.
    'auto' uses the rate if ``beta=inf``, or if feedback is tied or aligned and the rule is
    'vector_field'. Otherwise it uses the state.
layerwise_rescale : bool, default
    Learning. Whether to undo, layer by layer, the attenuation of the error signal by weak
    feedback. False: one scale for all parameters (the paper).
objective : {'fixed_point', 'trajectory'}, default
    Learning. 'fixed_point': the loss at the free fixed point (Eq. 12). 'trajectory': its average
    along the trajectory (footnote 1), for dynamics that never settle. This takes `max_relax_iter`
    Euler steps from rest and averages over the second half of `max_nudge_iter` further steps.
    It needs ``relaxation='euler'``, ``gradient='vector_field'`` and a finite `beta`. Predictions,
    `transform` and `relax` are then averages.
relaxation : {choices}, default
    Settling. 'gauss_seidel' solves layer by layer. 'euler' moves all layers at once in small steps
    (the paper). 'anderson' accelerates these steps. With the default `loop_gain` all of them reach
    the same fixed point (except with max pooling).
step_size : float, default
    Settling. Step ε of 'euler' and 'anderson', damping of 'gauss_seidel', in (0, 1].
max_relax_iter, max_nudge_iter : int, default
    Settling. Most sweeps or steps of the free and of the nudged phase.
relax_tol : float or 'auto', default
    Settling. Residual at which a sample counts as settled. 'auto' chooses per phase (table in the
    user guide). In the nudged phase of training it is relative to the nudge in each layer.
substrate : object or None, default
    Settling. Hardware that settles instead of the simulated network, in training and predictions.
    It is an object with a method ``connect`` (see `substrates.Hardware`), for example
    ``substrates.AnalogChip()``. None: the simulated network. Hardware settles in its own way, so
    leave the other parameters of this group at their defaults. If this parameter changes after
    ``fit``, predictions copy the weights to the new hardware.
optimizer : {choices}, default
    Training. Turns the two-phase update into a step of the weights.
momentum : float, default
    Training. Momentum of 'sgd', in [0, 1).
learning_rate_init : float or sequence of float, default
    Training. Learning rate, or one for each layer from the first hidden layer to the output. With
    n > 3 dense hidden layers in a row, a single rate is divided by the square root of n, except in
    the first and the last layer.
learning_rate : {choices}, default
    Training. Schedule of the learning rate: unchanged; divided by the square root of the epoch;
    divided by 5 whenever training stalls; or half a cosine that falls to 0 at `max_iter` epochs.
alpha : float or 'auto', default
    Training. Strength of the L2 penalty. As in scikit-learn's MLP it is divided by the size of the
    minibatch. 'auto' chooses it by a short trial fit on four fifths of the rows: the more the loss
    of the other rows exceeds that of these rows, the larger is `alpha_`. `alpha_` is 1e-4 in
    ``partial_fit``, with `max_iter` below 10, with more than three dense hidden layers in a row,
    with too few rows, and if the trial diverges. An estimator that is fitted already keeps `alpha_`
    in ``partial_fit`` and in warm starts.
max_iter : int, default
    Training. Most epochs.
batch_size : int or 'auto', default
    Training. Maximum of samples per minibatch; 'auto' is min(200, n_samples). The minibatches of an
    epoch have equal sizes, up to one sample.
early_stopping : bool, default
    Training. Whether to stop when the score of held-out samples no longer improves, and to keep
    the best weights. The samples are `X_val` and `y_val` of ``fit``, otherwise
    `validation_fraction` of X.
validation_fraction : float, default
    Training. Fraction of X that is held out, in (0, 1); with `early_stopping` and without `X_val`.
{scoring}
n_iter_no_change : int or None, default
    Training. Training stops when more than this number of epochs in a row bring no improvement by
    more than `tol`. None: it never stops early.
tol : float, default
    Training. Smallest improvement of the training loss (or validation score) that counts.
restore_best_weights : bool, default
    Training. Whether training without `early_stopping` ends with the weights of its best epoch
    instead of the last. `early_stopping` always restores them, ``partial_fit`` never.
average_weights : bool, default
    Training. Whether the fitted arrays (`coefs_` and the others), and so predictions and validation
    scores, are averages over about the last tenth of all updates (Shamir & Zhang 2013). Training
    itself continues from the latest weights, also in later calls. It helps most if training is
    short and the learning rate does not fall.
shuffle : bool, default
    Training. Whether to draw a new order of the samples in every epoch.
augment : callable or None, default
    Training. Function that changes training samples, such as images, at random (see
    `sklearn_eqprop.augmentation`). None: no changes. ``augment(rows, rng)`` gets a copy of the rows
    of a minibatch, an ndarray of shape (n_rows, n_features), and a RandomState, and returns an
    array of the same shape. Each minibatch is changed anew before the network learns from it.
    Held-out samples and predictions are not changed. Not for sparse X.
warm_start : bool, default
    Training. Whether ``fit`` continues from the result of the last call.
checkpoint : str, path or None, default
    Training. File in which ``fit`` stores its whole state after each epoch. If ``fit`` is
    interrupted, call it again with the same parameters and the same rows in the same order: it
    continues after the last whole epoch, and ends as if it had never been interrupted. The file is
    removed when ``fit`` ends by itself; Ctrl-C, an error and a killed process leave it. Give each
    fit its own file. None: no file. The file is a pickle, which can run code when ``fit`` reads it.
    So name only files that you trust.
verbose : bool or int, default
    Training. Whether to print a line per epoch, with the longest time left, and how
    ``alpha='auto'`` was chosen.
random_state : int, RandomState instance or None, default
    Training. Determines the initial weights, the order of the samples, the validation split, the
    rows of the trial of ``alpha='auto'``, random nudging, the random pushes of 'homeostasis' and
    the numbers that `augment` draws.
{class_weight}input_shape : (int, int), (int, int, int) or None, default
    Data. (height, width) or (height, width, channels) of the images that the rows of X are,
    flattened in this order. Needed with `Conv2D`. Dense layers ignore it.
transform_layers : int, sequence of int or None, default
    Data. Layers whose states `transform` returns; 1 is the first hidden layer, the last one is
    the output. None: all hidden layers.
dtype : {'auto', 'float32', 'float64'}, default
    Data. Type of the weights and of all arithmetic; 'auto' takes that of X.
backend : {'auto', 'numpy', 'cupy'}, default
    Data. Where arrays live while training and settling: 'numpy' in main memory, 'cupy' on the
    current CUDA device. 'auto' uses the device if CuPy and a device are usable. Both start from
    the same weights and use the samples in the same order.
"""

ATTRIBUTES = """\
n_features_in_ : int
    Number of features.
feature_names_in_ : ndarray of str
    Names of the features, if X has column names.
coefs_ : list of ndarray
    Entry l, of shape (n_l, n_(l+1)), holds the forward weights from layer l to layer l + 1.
    These arrays are the network: assign others of the same shape to change it. With
    `connections`: one array (n_source, n_target) per forward connection. Of a convolution:
    (kernel height, kernel width, channels, filters). Of an identity: (0,), because it has no
    weights.
intercepts_ : list of ndarray
    Entry l, of shape (n_(l+1),), is the bias of layer l + 1; (filters,) in a convolutional layer.
feedback_coefs_ : list of ndarray, or tuple with ``feedback='tied'``
    Entry l, of shape (n_(l+2), n_(l+1)), is the feedback from layer l + 2 to layer l + 1. With
    `connections`: one array (n_source, n_target) per feedback connection. Beside a convolution:
    kernels of its shape, which feedback uses in reverse. Of an identity: its strength γ, of shape
    ().
feedback_gains_ : ndarray
    Strength γ of each array of `feedback_coefs_` relative to the forward weights between the same
    two layers. With ``feedback='tied'``, feedback is exactly γ times their transpose.
connections_ : tuple of (int, int)
    (source layer, target layer) of each array of `coefs_`, then of each of
    `feedback_coefs_`; both are sorted by target, then by source.
backend_ : {'numpy', 'cupy'}
    Backend of the last call of ``fit`` or ``partial_fit``. Fitted arrays are always NumPy's.
substrate_ : object or None
    The hardware that the last call of ``fit`` or ``partial_fit`` trained, as ``substrate.connect``
    returned it. None: the simulated network. It is also None in a copy or a loaded model until
    this has settled once, because it connects its own hardware then.
n_layers_ : int
    Number of layers, including input and output.
n_outputs_ : int
    Number of output units.
alpha_ : float
    Strength of the L2 penalty in the last call.
n_iter_ : int
    Epochs of the last call; ``len(loss_curve_)`` counts all epochs since training started.
t_ : int
    Number of training samples seen.
loss_, best_loss_ : float
    Training loss of the last and of the best epoch; `best_loss_` is None with early stopping. After
    warm starts and ``partial_fit``, the best epoch is the best since the data, the sample weights
    or a parameter that scores depend on (such as `loss` or `alpha`) have changed.
loss_curve_ : list of float
    Training loss of every epoch: the mean loss at the free equilibria (the average loss along the
    free trajectories, see `objective`), plus the L2 penalty. With `augment`, the samples are the
    changed ones.
validation_scores_ : list of float or None
    With early stopping, the score (see `scoring`) of the held-out samples after every epoch.
best_validation_score_ : float or None
    Largest of `validation_scores_`, over the same epochs as `best_loss_`.
relaxation_ : dict of str to list of float
    How the phases of every epoch settled: 'free_steps' and 'nudged_steps' (mean number),
    'free_residual' and 'nudged_residual' (largest; the latter in units of β), 'free_unconverged'
    and 'nudged_unconverged' (fraction of samples that reached the limit). With
    ``objective='trajectory'`` only samples that run away count as unconverged. One of five
    minibatches is measured, as long as its samples settle. (If minibatches have many states, all
    samples must settle in the same number of steps for this.) An epoch without a measurement
    repeats the last numbers.

References
----------
Scellier, Goyal, Binas, Mesnard & Bengio (2018), "Generalization of Equilibrium Propagation to
Vector Field Dynamics", arXiv:1808.04873.

Scellier & Bengio (2017), "Equilibrium Propagation: Bridging the Gap between Energy-Based
Models and Backpropagation", arXiv:1602.05179.

Scurria, Vanden Abeele, Mognetti & Massar (2026), "Equilibrium Propagation for Non-Conservative
Systems", arXiv:2602.03670 ('asymmetric').

Almeida (1987), "A learning rule for asynchronous perceptrons with feedback in a combinatorial
environment", IEEE First International Conference on Neural Networks; Pineda (1987),
"Generalization of back-propagation to recurrent neural networks", Physical Review Letters 59
('recurrent_backprop').

Kolen & Pollack (1994), "Backpropagation without weight transport", IEEE International
Conference on Neural Networks; Akrout et al. (2019), "Deep Learning without Weight Transport",
arXiv:1904.05391 ('kolen_pollack').

Laborieux & Zenke (2023), "Improving Equilibrium Propagation without Weight Symmetry through
Jacobian Homeostasis", arXiv:2309.02214 ('homeostasis').
"""

#: A line that declares one or more parameters and ends with "default".
_DECLARATION = re.compile(r"^(\w+)((?:, \w+)* : .*, default)$", re.MULTILINE)


def documented(losses: Mapping[str, Any], **own: str) -> Callable[[Estimator], Estimator]:
    """Return a decorator that fills the shared text into the docstring of an estimator.

    The defaults are those that the class declares. The names that a parameter chooses from are
    those of its registry, the default first.

    Parameters
    ----------
    losses : mapping
        Losses of the estimator by name.
    **own : str
        Text on parameters that the estimators do not share, by name.
    """
    registries = REGISTRIES | {"loss": losses}

    def fill(estimator: Estimator) -> Estimator:
        defaults: dict[str, Any] = {field.name: field.default for field in fields(estimator)}

        def declared(declaration: re.Match[str]) -> str:
            name, rest = declaration.groups()
            names = sorted(registries.get(name, ()), key=lambda choice: choice != defaults[name])
            choices = "{" + ", ".join(map(repr, names)) + "}"
            return f"{name}{rest.replace('{choices}', choices)}={defaults[name]!r}"

        text = PARAMETERS
        for name in ("loss", "label_smoothing", "scoring", "class_weight"):
            text = text.replace(f"{{{name}}}", own.get(name, ""))
        text = _DECLARATION.sub(declared, text)
        # Python 3.13 removes the indentation by itself.
        doc = inspect.cleandoc(estimator.__doc__ or "").replace("{parameters}", text.rstrip())
        estimator.__doc__ = doc.replace("{attributes}", ATTRIBUTES.rstrip())
        return estimator

    return fill
