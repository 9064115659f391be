"""Classification by equilibrium propagation."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.base import ClassifierMixin
from sklearn.metrics import accuracy_score
from sklearn.utils import column_or_1d, compute_class_weight
from sklearn.utils.metaestimators import available_if
from sklearn.utils.multiclass import check_classification_targets, unique_labels

from sklearn_eqprop._sklearn_compat import HasMethods, StrOptions, _fit_context, type_of_target
from sklearn_eqprop.estimators.base import BaseEqProp
from sklearn_eqprop.estimators.parameters import PARAMETER_CONSTRAINTS
from sklearn_eqprop.estimators.targets import checked_classes, one_hot, without_nullable_type
from sklearn_eqprop.learning.costs import (
    ClassificationCost,
    LogLoss,
    MultilabelLogLoss,
    MultilabelSquaredError,
    SquaredError,
)
from sklearn_eqprop.learning.user_cost import UserCost

#: Cost by loss, for one label a sample and for several.
_COSTS: dict[str, type[ClassificationCost]] = {"log_loss": LogLoss, "squared_error": SquaredError}
_MULTILABEL_COSTS: dict[str, type[ClassificationCost]] = {
    "log_loss": MultilabelLogLoss,
    "squared_error": MultilabelSquaredError,
}


def _has_probabilities(classifier: EqPropClassifier) -> bool:
    """Whether outputs stand for probabilities: not under every loss of a user's own."""
    return isinstance(classifier.loss, str) or hasattr(classifier.loss, "probabilities")


class EqPropClassifier(ClassifierMixin, BaseEqProp):
    """Classifier whose network is trained by equilibrium propagation.

    The network settles twice: once freely, which is its prediction, and once with its outputs
    nudged towards the targets. The difference between the two equilibria, seen
    locally at each synapse, is the weight update (Scellier et al. 2018).

    Parameters
    ----------
    hidden_layer_sizes : int or sequence of int, default=(100,)
        Units of each hidden layer, from the input side to the output side.
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
        the exact gradient but use each connection in reverse ('asymmetric' in the limit of small β:
        'centered' nudging, or a small `beta`). 'continual': weights move in
        every Euler step of the nudged phase (Eqs. 2 and 5), which many small steps make slow;
        needs ``learning_rate_init`` well below `beta`.
    credit_coordinates : {'auto', 'state', 'rate'}, default='auto'
        What a weight multiplies its presynaptic rate with: the displacement Δs of the state (the
        paper), or ρ'(s^0) Δs, that of the rate. With a smooth activation ('tanh', 'logistic') and
        feedback that is tied, or aligned by 'kolen_pollack', the state gives a biased update and
        the rate the direction of the exact gradient in each layer; 'auto' then takes the rate with
        'vector_field'. It also does where the output is clamped
        (``beta=inf``), and takes the state everywhere else. For the
        other activations the two are the same.
    nudging : {'one_sided', 'random_sign', 'centered'}, default='one_sided'
        How ds/dβ is estimated: from 0 and β (the paper), error O(β); the same with the sign
        drawn for every minibatch; or from +β and -β, error O(β²), at twice the price.
    feedback_init : {'transpose', 'independent'}, default='transpose'
        Feedback starts at `feedback_scale` times the transposed forward weights, or at
        `feedback_scale` times a draw of its own. Not used with tied feedback.
    feedback_scale : float, default=0.3
        γ, > 0.
    feedback_learning : {'kolen_pollack', 'local', 'homeostasis', 'fixed'}, default='kolen_pollack'
        How feedback weights move: by the change of the forward weights transposed, a local
        rule that keeps the two aligned (Kolen & Pollack 1994); by their own ΔB (the paper); by
        their own ΔB and by what units' responses to random pushes say about the
        asymmetry of the Jacobian (Laborieux & Zenke 2023), which aligns feedback from any
        start; or not at all. With tied feedback none of them has anything to move.
    objective : {'fixed_point', 'trajectory'}, default='fixed_point'
        The cost at the free fixed point (Eq. 12), or, for dynamics that never settle, its average
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
    loop_gain : float, 'auto' or None, default='auto'
        Bound c in (0, 1) on the gain of the feedback loops, kept after every update by
        shrinking feedback; settling is then a contraction. With `connections` other than layers
        in a row it bounds the spectral radius of the norms of all connections by sqrt(c). None:
        no safeguard (paper). 'auto' is 0.2. With tied feedback, where shrinking feedback is
        shrinking the forward weights, it is None for activations of limited range and 0.9 for
        others.
    layerwise_rescale : bool, default=True
        Undo, layer by layer, the attenuation that weak feedback puts on the error signal. False:
        one scale for all parameters (paper).
    beta : float, default=0.5
        Influence parameter β: strength of the nudge, not 0; without effect on
        'recurrent_backprop'. A phase nudged away from its target can only be stable for ``|β|`` < 2
        with 'log_loss' and 1 with 'squared_error'; `fit` warns where loops may make it less.
        ``float('inf')`` holds the output at the target instead (squared error, 'one_sided' and
        'vector_field' only): GeneRec (O'Reilly 1996), with tied weights contrastive Hebbian
        learning.
    relaxation : {'gauss_seidel', 'euler', 'anderson'}, default='gauss_seidel'
        How the network settles: layer by layer, all layers at once in small steps (the
        paper), or by Anderson acceleration. All reach the same fixed point.
    step_size : float, default=1.0
        Euler step ε, or damping of the layer updates, in (0, 1].
    max_relax_iter, max_nudge_iter : int, default=200
        Most sweeps or steps of the free and of the nudged phase. See also `objective`.
    relax_tol : float or 'auto', default='auto'
        Residual at which a sample counts as settled, never below what rounding allows; in the
        nudged phase of training relative to the force on the sample as it arrives at each layer,
        in that of `relax` times ``|β|``. 'auto' is 1e-10 for predictions with float64 weights,
        5e-6 with float32 weights. While training it is 1e-2, and in the nudged phase 0.25 (Euler,
        Anderson, damped sweeps and 'continual': 0.01). What the free phase leaves unsettled is no
        part of the nudged one ('continual', where it is, settles the free phase to 5e-6).
    loss : {'log_loss', 'squared_error'} or object, default='log_loss'
        Cost of the output: cross-entropy of a softmax readout (of logistic readouts with
        multilabel targets), or squared distance from 0/1 targets (the paper). Or an object
        with the methods ``value(output, target)`` and ``derivative(output, target)``, see
        `learning.user_cost.UserLoss`.
    optimizer : {'adam', 'sgd'}, default='adam'
        What turns the two-phase update into a step of the weights.
    learning_rate_init : float or sequence of float, default=0.003
        Learning rate, or one for each layer from the first hidden layer to the output.
    learning_rate : {'constant', 'invscaling', 'adaptive', 'cosine'}, default='constant'
        Schedule: unchanged; divided by the square root of the epoch; divided by 5 whenever
        training stalls; or half a cosine down to 0 at `max_iter` epochs.
    momentum : float, default=0.9
        Of 'sgd', in [0, 1).
    alpha : float, default=0.0001
        Strength of the L2 penalty, divided by the minibatch size as in MLPClassifier.
    batch_size : int or 'auto', default='auto'
        Samples a minibatch; 'auto' is min(200, n_samples).
    max_iter : int, default=200
        Most epochs.
    early_stopping : bool, default=False
        Hold out `validation_fraction` of the samples, stop when their accuracy no longer
        improves, and keep the best weights.
    validation_fraction : float, default=0.1
        In (0, 1); with `early_stopping` only.
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
    class_weight : dict, 'balanced' or None, default=None
        Weights of the classes, multiplied with `sample_weight`. Not for multilabel targets.
    input_shape : None, default=None
        Reserved for convolutional layers.
    backend : {'auto', 'numpy'}, default='auto'
        Array library. 'cupy' is reserved.
    dtype : {'auto', 'float32', 'float64'}, default='auto'
        Type of the weights and of all arithmetic; 'auto' takes that of X.

    Attributes
    ----------
    classes_ : ndarray of shape (n_classes,)
        Class labels; with multilabel targets the label indices.
    n_features_in_ : int
    feature_names_in_ : ndarray of str
        Where X has column names.
    coefs_ : list of ndarray
        Entry l, of shape (n_l, n_(l+1)), is the forward weights from layer l to layer l + 1.
        These arrays are the network: assign others of the same shape to change it. With
        `connections`: one array (n_source, n_target) a forward connection.
    intercepts_ : list of ndarray
        Entry l, of shape (n_(l+1),), is the bias of layer l + 1.
    feedback_coefs_ : list of ndarray
        Entry l, of shape (n_(l+2), n_(l+1)), is the feedback from layer l + 2 to layer l + 1. With
        `connections`: one array (n_source, n_target) a feedback connection.
    connections_ : tuple of (int, int)
        (source layer, target layer) of each array of `coefs_`, then of each of
        `feedback_coefs_`; in both by target, then by source.
    n_layers_ : int
        Layers, input and output included.
    n_outputs_ : int
        Units of the output layer: one a class, also with two classes, or one a label.
    n_iter_ : int
        Epochs of the last call; ``len(loss_curve_)`` counts all since training started.
    t_ : int
        Training samples seen.
    loss_, best_loss_ : float
        Training loss of the last and of the best epoch; `best_loss_` is None with early stopping.
    loss_curve_ : list of float
        Training loss of every epoch: mean cost at the free equilibria (average cost along the
        free trajectories, see `objective`) plus the L2 penalty.
    validation_scores_ : list of float or None
        With early stopping, the accuracy on the held-out samples after every epoch.
    relaxation_ : dict of str to list of float
        For every epoch: 'free_steps' and 'nudged_steps' (mean sweeps), 'free_residual' and
        'nudged_residual' (largest, the latter in units of β), 'free_unconverged' and
        'nudged_unconverged' (fraction of samples that reached the limit). With
        ``objective='trajectory'`` all steps are taken, residuals are what moves at the end, and
        nothing counts as unconverged.

    References
    ----------
    Scellier, Goyal, Binas, Mesnard & Bengio (2018), "Generalization of Equilibrium Propagation to
    Vector Field Dynamics", arXiv:1808.04873.

    Scellier & Bengio (2017), "Equilibrium Propagation: Bridging the Gap between Energy-Based
    Models and Backpropagation", arXiv:1602.05179.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from sklearn.pipeline import make_pipeline
    >>> from sklearn.preprocessing import StandardScaler
    >>> from sklearn_eqprop import EqPropClassifier
    >>> X, y = load_iris(return_X_y=True)
    >>> model = make_pipeline(StandardScaler(), EqPropClassifier(max_iter=300, random_state=0))
    >>> bool(model.fit(X, y).score(X, y) > 0.9)
    True
    """

    _parameter_constraints: dict[str, list[Any]] = PARAMETER_CONSTRAINTS | {
        "loss": [StrOptions(set(_COSTS)), HasMethods(["value", "derivative"])],
        "class_weight": [StrOptions({"balanced"}), dict, None],
    }

    def __init__(
        self,
        hidden_layer_sizes: Any = (100,),
        *,
        activation: str = "relu",
        feedback: str = "untied",
        gradient: str = "vector_field",
        credit_coordinates: str = "auto",
        nudging: str = "one_sided",
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
        loss: Any = "log_loss",
        optimizer: str = "adam",
        learning_rate_init: Any = 3e-3,
        learning_rate: str = "constant",
        momentum: float = 0.9,
        alpha: float = 1e-4,
        batch_size: int | str = "auto",
        max_iter: int = 200,
        early_stopping: bool = False,
        validation_fraction: float = 0.1,
        n_iter_no_change: int | None = 10,
        tol: float = 1e-4,
        shuffle: bool = True,
        warm_start: bool = False,
        verbose: bool | int = False,
        random_state: Any = None,
        class_weight: Any = None,
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
        self.n_iter_no_change = n_iter_no_change
        self.tol = tol
        self.shuffle = shuffle
        self.warm_start = warm_start
        self.verbose = verbose
        self.random_state = random_state
        self.class_weight = class_weight
        self.input_shape = input_shape
        self.backend = backend
        self.dtype = dtype

    @_fit_context(prefer_skip_nested_validation=True)
    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> EqPropClassifier:
        """Train the network.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Inputs; best brought to zero mean and unit variance (StandardScaler).
        y : array-like of shape (n_samples,) or (n_samples, n_labels)
            Class labels, or a 0/1 indicator matrix (multilabel).
        sample_weight : array-like of shape (n_samples,), default=None
            Weights >= 0; a sample of weight 0 is left out.

        Returns
        -------
        EqPropClassifier
            The fitted estimator.

        Raises
        ------
        ValueError
            If a parameter, X, y or sample_weight is not usable.
        DivergenceError
            If numbers stop being finite. The weights of the last good epoch are kept.
        """
        self._fit(X, without_nullable_type(y), sample_weight, incremental=False)
        return self

    @_fit_context(prefer_skip_nested_validation=True)
    def partial_fit(
        self, X: Any, y: Any, classes: Any = None, *, sample_weight: Any = None
    ) -> EqPropClassifier:
        """Train for one pass over the given samples, going on from where training stands.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
        y : array-like of shape (n_samples,) or (n_samples, n_labels)
        classes : array-like of shape (n_classes,), default=None
            All labels there will ever be; needed in the first call (not for multilabel y).
        sample_weight : array-like of shape (n_samples,), default=None

        Returns
        -------
        EqPropClassifier
            The fitted estimator.

        Raises
        ------
        ValueError
            As `fit`; also for labels not in `classes`.
        DivergenceError
            If numbers stop being finite. The estimator is then as it was before the call.
        """
        if self.class_weight == "balanced":
            msg = (
                "class_weight='balanced' needs all samples at once and is not supported by "
                "partial_fit; pass a dict of weights or sample_weight."
            )
            raise ValueError(msg)
        self._fit(X, without_nullable_type(y), sample_weight, incremental=True, classes=classes)
        return self

    def predict(self, X: Any) -> np.ndarray:
        """Class of the largest output at the free equilibrium (on average, see `objective`).

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)

        Returns
        -------
        ndarray of shape (n_samples,) or (n_samples, n_labels)
            Labels, or a 0/1 indicator matrix.
        """
        return self._decide(self._settled(X).states[-1])

    def decision_function(self, X: Any) -> np.ndarray:
        """Output states at the free equilibrium (averages, see `objective`), as confidence scores.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)

        Returns
        -------
        ndarray of shape (n_samples,), (n_samples, n_classes) or (n_samples, n_labels)
            With two classes the difference of the two outputs, above 0 for ``classes_[1]``; with
            multilabel targets above 0 where the label is predicted.
        """
        output = self._settled(X).states[-1]
        if self._multilabel:
            return output - self._label_threshold()
        return output[:, 1] - output[:, 0] if self.n_outputs_ == 2 else output

    @available_if(_has_probabilities)
    def predict_proba(self, X: Any) -> np.ndarray:
        """Class probabilities at the free equilibrium (of the average output, see `objective`).

        With ``loss='log_loss'`` the softmax of the outputs (logistic function for multilabel
        targets); with 'squared_error' the point of the probability simplex nearest to the outputs.
        A loss of your own must have a method ``probabilities(output)``.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)

        Returns
        -------
        ndarray of shape (n_samples, n_classes) or (n_samples, n_labels)
        """
        output = self._settled(X).states[-1]
        return self._cost().probabilities(np, output)

    @available_if(_has_probabilities)
    def predict_log_proba(self, X: Any) -> np.ndarray:
        """Logarithm of `predict_proba`.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)

        Returns
        -------
        ndarray of shape (n_samples, n_classes) or (n_samples, n_labels)
        """
        with np.errstate(divide="ignore"):  # a probability of 0 is an answer, not an accident
            return np.log(self.predict_proba(X))

    def _cost(self) -> ClassificationCost:
        if not isinstance(self.loss, str):
            return UserCost(self.loss)
        costs = _MULTILABEL_COSTS if self._multilabel else _COSTS
        return costs[self.loss]()

    def _label_threshold(self) -> float:
        if isinstance(self.loss, str):
            return 0.5 if self.loss == "squared_error" else 0.0
        return float(self.loss.label_threshold)

    def _decide(self, output: np.ndarray) -> np.ndarray:
        if self._multilabel:
            return (output > self._label_threshold()).astype(np.int64)
        return self.classes_[output.argmax(axis=1)]

    def _take_in_targets(
        self, y: np.ndarray, *, reset: bool, classes: Any = None, incremental: bool = False
    ) -> np.ndarray:
        y = y.toarray() if hasattr(y, "toarray") else y
        if y.ndim == 2 and y.shape[1] == 1:
            y = column_or_1d(y, warn=True)
        check_classification_targets(y)
        multilabel = type_of_target(y).startswith("multilabel")
        if multilabel and self.class_weight is not None:
            msg = f"class_weight={self.class_weight!r} is not supported for multilabel targets."
            raise ValueError(msg)
        if multilabel and not (isinstance(self.loss, str) or hasattr(self.loss, "label_threshold")):
            msg = (
                f"loss={self.loss!r} has no attribute label_threshold, the output above which a "
                "label is predicted; multilabel targets need it."
            )
            raise ValueError(msg)
        if reset and incremental and classes is None and not multilabel:
            msg = "classes must be passed on the first call to partial_fit: all labels ever."
            raise ValueError(msg)
        if classes is not None:
            classes = checked_classes(classes)
        if reset:
            self._set_classes(y, classes, multilabel=multilabel)
        else:
            self._check_labels(y, classes, multilabel=multilabel)
        return y

    def _set_classes(self, y: np.ndarray, classes: Any, *, multilabel: bool) -> None:
        if multilabel:
            found = np.arange(y.shape[1])
        else:
            found = unique_labels(y) if classes is None else classes
            if found.shape[0] < 2:
                msg = (
                    f"The training data hold 1 class ({found[0]!r}); a classifier needs samples "
                    "of at least 2 classes."
                )
                raise ValueError(msg)
        self._multilabel = multilabel
        self.classes_ = found
        self.n_outputs_ = found.shape[0]
        if classes is not None and not multilabel:
            self._check_labels(y, None, multilabel=False)

    def _check_labels(self, y: np.ndarray, classes: Any, *, multilabel: bool) -> None:
        if multilabel != self._multilabel or (multilabel and y.shape[1] != self.n_outputs_):
            was = f"multilabel with {self.n_outputs_} labels" if self._multilabel else "one label"
            now = f"multilabel with {y.shape[1]} labels" if multilabel else "one label"
            msg = f"y was {was} a sample when training started and is now {now}."
            raise ValueError(msg)
        if classes is not None and not np.array_equal(classes, self.classes_):
            msg = (
                f"classes={classes.tolist()!r} is not the same as in the first call, which had "
                f"{self.classes_.tolist()!r}."
            )
            raise ValueError(msg)
        if not multilabel:
            # Not np.setdiff1d: older NumPy cannot compare text with numbers.
            known = set(self.classes_.tolist())
            unknown = [label for label in np.unique(y).tolist() if label not in known]
            if unknown:
                msg = (
                    f"y holds labels {unknown} that are not in classes_ "
                    f"({self.classes_.tolist()}): name all classes in the first call."
                )
                raise ValueError(msg)

    def _effective_weight(
        self, y: np.ndarray, sample_weight: np.ndarray | None
    ) -> np.ndarray | None:
        if self.class_weight is None:
            return sample_weight
        columns = np.searchsorted(self.classes_, y)
        weight = np.ones(y.shape[0]) if sample_weight is None else sample_weight
        if self.class_weight == "balanced":
            # Counts are sums of weights, so that a weight of 2 is the same as two rows.
            counts = np.bincount(columns, weights=weight, minlength=self.n_outputs_)
            n_present = np.count_nonzero(counts)
            by_class = weight.sum() / (n_present * np.where(counts > 0, counts, 1.0))
        else:
            by_class = compute_class_weight(self.class_weight, classes=self.classes_, y=y)
        return weight * by_class[columns]

    def _encode(self, y: np.ndarray, dtype: Any) -> np.ndarray:
        return y.astype(dtype) if self._multilabel else one_hot(y, self.classes_, dtype)

    def _validation_score(
        self, output: np.ndarray, y: np.ndarray, sample_weight: np.ndarray | None
    ) -> float:
        decided = self._decide(output)
        if self._multilabel:  # of labels: whole rows are right too rarely to show progress
            return float(np.average((decided == y).mean(axis=1), weights=sample_weight))
        return float(accuracy_score(y, decided, sample_weight=sample_weight))

    def _stratify(self, y: np.ndarray) -> np.ndarray | None:
        return None if self._multilabel else y

    def __sklearn_tags__(self) -> Any:
        """See scikit-learn's developer guide."""
        tags = super().__sklearn_tags__()
        tags.classifier_tags.multi_label = True
        return tags
