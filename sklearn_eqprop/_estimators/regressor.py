"""Regression by equilibrium propagation: the estimator, its parameters and attributes."""

from __future__ import annotations

from typing import Any

from sklearn_eqprop._estimators.parameters.parameters import PARAMETER_CONSTRAINTS
from sklearn_eqprop._estimators.regression import LOSSES, Regression
from sklearn_eqprop._sklearn_compat import HasMethods, StrOptions


class EqPropRegressor(Regression):
    """Regressor whose network is trained by equilibrium propagation.

    The network settles twice: once freely, which is its prediction, and once with its outputs
    nudged towards the targets. The difference between the two equilibria, seen
    locally at each synapse, is the weight update (Scellier et al. 2018). Targets of any scale
    are standardised internally.

    Parameters
    ----------
    hidden_layer_sizes : int, Conv2D or sequence of them, default=(100,)
        Units of each hidden layer, from the input side to the output side, or a `Conv2D` for a
        convolutional one; these come first and need `input_shape`.
    activation : {'relu', 'hard_sigmoid', 'tanh', 'logistic', 'identity'}, default='relu'
        ρ of the hidden units; the output is linear. With 'relu' and 'hard_sigmoid' (the
        paper's) states are kept in the range of ρ while they settle (Eq. 77).
    feedback : {'untied', 'tied'}, default='untied'
        Feedback weights of their own, as in the paper, or the transposes of the forward
        weights (an energy-based network, Scellier & Bengio 2017). Tied weights suit 'hard_sigmoid';
        see `loop_gain`.
    gradient : str, default='vector_field'
        Credit rule. 'vector_field': the paper's two phases, Eqs. 18-19. 'asymmetric' and
        'recurrent_backprop': two phases of a corrected field, or a linear system; both follow
        the exact gradient but use each connection in reverse. 'asymmetric' is exact in the limit
        of small β only, at the default 0.5 it can be far off: use 0.005, which costs no precision;
        'centered' nudging then helps further, but does not replace it. 'continual': weights move
        in every Euler step of the nudged phase (Eqs. 2 and 5), which many small steps make slow;
        needs ``learning_rate_init`` well below `beta`.
    credit_coordinates : {'auto', 'state', 'rate'}, default='auto'
        What a weight multiplies its presynaptic rate with: the displacement Δs of the state (the
        paper), or ρ'(s^0) Δs, that of the rate. With a smooth activation ('tanh', 'logistic') and
        feedback that is tied, or aligned by 'kolen_pollack' or 'homeostasis', the state gives a
        biased update and the rate the direction of the exact gradient in each layer (with
        'homeostasis' nearly so); 'auto' then takes the rate with 'vector_field'. It also does
        where the output is clamped (``beta=inf``), and takes the state everywhere else. For the
        other activations the two are the same.
    nudging : {'centered', 'one_sided', 'random_sign'}, default='centered'
        How ds/dβ is estimated: from +β and -β, error O(β²); from 0 and β (the paper), error
        O(β); or the latter with the sign drawn for every minibatch. With a large β the two
        sides of a kink of ReLU units share in the change, which overfits noisy targets less.
        Without effect on 'recurrent_backprop'.
    feedback_init : {'transpose', 'independent'}, default='transpose'
        Feedback starts at `feedback_scale` times the transposed forward weights, or at
        `feedback_scale` times a draw of its own. Not used with tied feedback.
    feedback_scale : float, default=0.3
        γ, > 0.
    feedback_learning : {'kolen_pollack', 'local', 'homeostasis', 'fixed'}, default='kolen_pollack'
        How feedback weights move: by γ times the change of the forward weights, transposed,
        a local rule that keeps the two aligned (Kolen & Pollack 1994); by their own ΔB (the
        paper); by their own ΔB and by what units' responses to random pushes say about the
        asymmetry of the Jacobian (Laborieux & Zenke 2023), which aligns feedback from any
        start; or not at all. With tied feedback none of them has anything to move.
    objective : {'fixed_point', 'trajectory'}, default='fixed_point'
        The loss at the free fixed point (Eq. 12), or, for dynamics that never settle, its average
        along the trajectory (footnote 1): `max_relax_iter` Euler steps from rest, then
        `max_nudge_iter` steps of which the second half counts. None is left out, and `relax_tol` is
        not used. Predictions, `transform` and `relax` are averages over the same steps. Needs
        ``relaxation='euler'``, ``gradient='vector_field'`` and a finite `beta`.
    connections : list of (int, int) or None, default=None
        Every connection of the network as (source layer, target layer); layer 0 is the input, the
        last one the output. None is layers in a row, [(0, 1), (1, 2), (2, 1)] with one
        hidden layer. Pairs to a later layer are forward connections, all others feedback,
        lateral ones from a layer to itself included. Feedback from t to s has the forward
        connection (s, t) as its partner; what has none, and every lateral connection, starts at
        `feedback_scale` times a draw of its own (a lateral one without connections of a unit to
        itself), follows its own ΔB where 'kolen_pollack' would have it follow a partner, and
        does not go with tied feedback. ValueError where a layer has no part in what leads from
        input to output, or where ``gradient='vector_field'`` has to train a layer that no path
        reaches from the output.
        Between two convolutional layers, and from the input to one, a connection is a convolution
        by the `Conv2D` of the layer it drives, and must make maps of that layer's shape; all other
        connections are dense.
    loop_gain : float, 'auto' or None, default='auto'
        Bound c in (0, 1) on the gain of the feedback loops, kept after every update by
        shrinking feedback, as closely as power iteration knows the norms; settling is then a
        contraction (with max pooling, while winners stay).
        With `connections` other than layers in a row it bounds the spectral radius of the norms of
        all connections by sqrt(c). None: no safeguard (paper). 'auto' is 0.2. With tied feedback,
        where shrinking feedback is shrinking the forward weights, it is None for activations of
        limited range and 0.9 for others.
    layerwise_rescale : bool, default=True
        Undo, layer by layer, the attenuation that weak feedback puts on the error signal. False:
        one scale for all parameters (paper).
    beta : float, default=0.5
        Influence parameter β: strength of the nudge, not 0; without effect on
        'recurrent_backprop'. A phase nudged away from its target can only be stable for ``|β|`` < 1
        with 'squared_error' and 'huber'; `fit` warns where loops may make it less.
        ``float('inf')`` holds the output at the target instead (squared error, 'one_sided' and
        'vector_field' only): GeneRec (O'Reilly 1996), with tied weights contrastive Hebbian
        learning.
    relaxation : {'gauss_seidel', 'euler', 'anderson'}, default='gauss_seidel'
        How the network settles: layer by layer, all layers at once in small steps (the
        paper), or by Anderson acceleration of these steps: fewer of them, each of which takes
        longer. All reach the same fixed point where there is only one, as with the default
        `loop_gain` (max pooling apart).
    step_size : float, default=1.0
        Euler step ε, or damping of the layer updates, in (0, 1].
    max_relax_iter, max_nudge_iter : int, default=200
        Most sweeps or steps of the free and of the nudged phase. See also `objective`.
    relax_tol : float or 'auto', default='auto'
        Residual at which a sample counts as settled, never below what rounding allows; in the
        nudged phase of training relative to the force on the sample as it arrives at each layer,
        in that of `relax` times ``|β|``. 'auto' is 1e-10 for predictions with float64 weights,
        5e-6 with float32 weights. While training it is 1e-2 in both phases; in the nudged one
        0.25 where sweeps solve layer after layer and `loop_gain` is at most 0.2, 0.1 where it is
        more. With the exact gradients it is 1e-4 in the free phase, 1e-3 in the nudged one. What
        the free phase leaves unsettled is no part of the nudged one ('continual', where
        it is, settles the free phase to 5e-6).
    loss : str or object, default='squared_error'
        'squared_error', 'absolute_error', 'huber', 'poisson', the loss of
        the output: ½ ||y - s_L||² of the standardised targets; Σ ``|y - s_L|`` of them;
        Huber's, which is quadratic up to one standard deviation of the targets and linear
        beyond; or half the Poisson deviance of targets >= 0, of which the output is the
        logarithm (in units of their mean). Or an object with the methods
        ``value(output, target)`` and ``derivative(output, target)``, see
        `learning.user_cost.UserLoss`.
    optimizer : {'adam', 'sgd'}, default='adam'
        What turns the two-phase update into a step of the weights.
    learning_rate_init : float or sequence of float, default=0.001
        Learning rate, or one for each layer from the first hidden layer to the output.
    learning_rate : {'constant', 'invscaling', 'adaptive', 'cosine'}, default='constant'
        Schedule: unchanged; divided by the square root of the epoch; divided by 5 whenever
        training stalls; or half a cosine that falls with every update, down to 0 at `max_iter`
        epochs.
    momentum : float, default=0.9
        Of 'sgd', in [0, 1).
    alpha : float, default=0.0001
        Strength of the L2 penalty, divided by the minibatch size as in MLPRegressor.
    batch_size : int or 'auto', default='auto'
        Samples a minibatch; 'auto' is min(200, n_samples).
    max_iter : int, default=200
        Most epochs.
    early_stopping : bool, default=False
        Stop when the score of samples that are not trained on no longer improves, and keep the best
        weights. The samples are `X_val` and `y_val` of `fit`, else `validation_fraction` of
        X.
    validation_fraction : float, default=0.1
        In (0, 1); with `early_stopping` and without `X_val` only.
    scoring : str, callable or None, default=None
        With `early_stopping`, what they are judged by: None is R², 'loss' the negative
        loss, without penalty; any other name or callable is a scorer of scikit-learn's.
    restore_best_weights : bool, default=False
        Whether training that is judged by its training loss also ends with the weights
        of its best epoch instead of its last. With `early_stopping` it always does, `partial_fit`
        never.
    n_iter_no_change : int or None, default=10
        Epochs in a row without an improvement of `tol` after which training stops. None: never.
    tol : float, default=1e-4
        Least improvement of the training loss (or validation score) that counts.
    shuffle : bool, default=True
        Whether to draw the order of the samples anew every epoch.
    warm_start : bool, default=False
        Whether fit goes on from where the last call ended.
    verbose : bool or int, default=False
        Whether to print a line an epoch.
    random_state : int, RandomState instance or None, default=None
        Determines the initial weights, the order of the samples, the validation split and
        nudging that draws.
    transform_layers : int, sequence of int or None, default=None
        Layers whose states `transform` returns: 1 is the first hidden layer, the last one the
        output. None is all hidden layers.
    input_shape : (int, int), (int, int, int) or None, default=None
        (height, width) or (height, width, channels) of the images that the rows of X are,
        flattened in this order; needed where a hidden layer is a `Conv2D`. Dense layers read rows
        as they are.
    backend : {'auto', 'numpy', 'cupy'}, default='auto'
        Where arrays live while training and settling: 'numpy' in main memory, 'cupy' on the current
        CUDA device; 'auto' takes the device where CuPy and a device are usable. Both start from the
        same weights and take the samples in the same order. A fitted model predicts with NumPy
        where there is no device.
    dtype : {'auto', 'float32', 'float64'}, default='auto'
        Type of the weights and of all arithmetic; 'auto' takes that of X.

    Attributes
    ----------
    target_mean_, target_scale_ : ndarray of shape (n_outputs,)
        What targets are standardised with; output states are in the standardised units. With
        ``loss='poisson'`` 0 and the mean of the targets: an output state s stands for
        ``target_scale_ * exp(s)``.
    n_features_in_ : int
    feature_names_in_ : ndarray of str
        Where X has column names.
    coefs_ : list of ndarray
        Entry l, of shape (n_l, n_(l+1)), is the forward weights from layer l to layer l + 1.
        These arrays are the network: assign others of the same shape to change it. With
        `connections`: one array (n_source, n_target) a forward connection. Of a convolution:
        (kernel height, kernel width, channels in, maps out).
    intercepts_ : list of ndarray
        Entry l, of shape (n_(l+1),), is the bias of layer l + 1; in a convolutional layer one a
        map.
    feedback_coefs_ : list of ndarray, or tuple with ``feedback='tied'``
        Entry l, of shape (n_(l+2), n_(l+1)), is the feedback from layer l + 2 to layer l + 1. With
        `connections`: one array (n_source, n_target) a feedback connection. Beside a convolution:
        kernels of its shape, which feedback goes through in reverse.
    connections_ : tuple of (int, int)
        (source layer, target layer) of each array of `coefs_`, then of each of
        `feedback_coefs_`; in both by target, then by source.
    backend_ : {'numpy', 'cupy'}
        What the last call of fit or partial_fit computed on. Fitted arrays are NumPy's in any case.
    n_layers_ : int
        Layers, input and output included.
    n_outputs_ : int
        Units of the output layer.
    n_iter_ : int
        Epochs of the last call; ``len(loss_curve_)`` counts all since training started.
    t_ : int
        Training samples seen.
    loss_, best_loss_ : float
        Training loss of the last and of the best epoch; `best_loss_` is None with early stopping.
    loss_curve_ : list of float
        Training loss of every epoch: mean loss at the free equilibria (average loss along the
        free trajectories, see `objective`) plus the L2 penalty.
    validation_scores_ : list of float or None
        With early stopping, the score (see `scoring`) of the held-out samples after every epoch.
    best_validation_score_ : float or None
        Largest of `validation_scores_`.
    relaxation_ : dict of str to list of float
        For every epoch: 'free_steps' and 'nudged_steps' (mean sweeps), 'free_residual' and
        'nudged_residual' (largest, the latter in units of β), 'free_unconverged' and
        'nudged_unconverged' (fraction of samples that reached the limit). With
        ``objective='trajectory'`` all steps are taken, residuals are what moves at the end, and
        only what runs away counts as unconverged.

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

    Examples
    --------
    >>> from sklearn.datasets import load_diabetes
    >>> from sklearn.pipeline import make_pipeline
    >>> from sklearn.preprocessing import StandardScaler
    >>> from sklearn_eqprop import EqPropRegressor
    >>> X, y = load_diabetes(return_X_y=True)
    >>> model = make_pipeline(StandardScaler(), EqPropRegressor(random_state=0))
    >>> bool(model.fit(X, y).score(X, y) > 0.4)
    True
    """

    _parameter_constraints: dict[str, list[Any]] = PARAMETER_CONSTRAINTS | {
        "loss": [StrOptions(set(LOSSES)), HasMethods(["value", "derivative"])],
    }

    def __init__(
        self,
        hidden_layer_sizes: Any = (100,),
        *,
        activation: str = "relu",
        feedback: str = "untied",
        gradient: str = "vector_field",
        credit_coordinates: str = "auto",
        nudging: str = "centered",
        feedback_init: str = "transpose",
        feedback_scale: float = 0.3,
        feedback_learning: str = "kolen_pollack",
        objective: str = "fixed_point",
        connections: Any = None,
        loop_gain: float | str | None = "auto",
        layerwise_rescale: bool = True,
        beta: float = 0.5,
        relaxation: str = "gauss_seidel",
        step_size: float = 1.0,
        max_relax_iter: int = 200,
        max_nudge_iter: int = 200,
        relax_tol: float | str = "auto",
        loss: Any = "squared_error",
        optimizer: str = "adam",
        learning_rate_init: Any = 1e-3,
        learning_rate: str = "constant",
        momentum: float = 0.9,
        alpha: float = 1e-4,
        batch_size: int | str = "auto",
        max_iter: int = 200,
        early_stopping: bool = False,
        validation_fraction: float = 0.1,
        scoring: Any = None,
        restore_best_weights: bool = False,
        n_iter_no_change: int | None = 10,
        tol: float = 1e-4,
        shuffle: bool = True,
        warm_start: bool = False,
        verbose: bool | int = False,
        random_state: Any = None,
        transform_layers: Any = None,
        input_shape: tuple[int, ...] | None = None,
        backend: str = "auto",
        dtype: str = "auto",
    ) -> None:
        self.hidden_layer_sizes = hidden_layer_sizes
        self.activation = activation
        self.feedback = feedback
        self.gradient = gradient
        self.credit_coordinates = credit_coordinates
        self.nudging = nudging
        self.feedback_init = feedback_init
        self.feedback_scale = feedback_scale
        self.feedback_learning = feedback_learning
        self.objective = objective
        self.connections = connections
        self.loop_gain = loop_gain
        self.layerwise_rescale = layerwise_rescale
        self.beta = beta
        self.relaxation = relaxation
        self.step_size = step_size
        self.max_relax_iter = max_relax_iter
        self.max_nudge_iter = max_nudge_iter
        self.relax_tol = relax_tol
        self.loss = loss
        self.optimizer = optimizer
        self.learning_rate_init = learning_rate_init
        self.learning_rate = learning_rate
        self.momentum = momentum
        self.alpha = alpha
        self.batch_size = batch_size
        self.max_iter = max_iter
        self.early_stopping = early_stopping
        self.validation_fraction = validation_fraction
        self.scoring = scoring
        self.restore_best_weights = restore_best_weights
        self.n_iter_no_change = n_iter_no_change
        self.tol = tol
        self.shuffle = shuffle
        self.warm_start = warm_start
        self.verbose = verbose
        self.random_state = random_state
        self.transform_layers = transform_layers
        self.input_shape = input_shape
        self.backend = backend
        self.dtype = dtype
