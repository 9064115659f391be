"""What the classifier and the regressor share: parameters, fit, equilibria, model files."""

import math
from dataclasses import KW_ONLY, dataclass, field
from numbers import Real
from typing import Any, ClassVar, Self

import numpy as np
from sklearn.base import BaseEstimator, ClassNamePrefixFeaturesOutMixin, TransformerMixin
from sklearn.utils.validation import check_is_fitted

from sklearn_eqprop._backend import NumpyBackend
from sklearn_eqprop._estimators.data.inputs import validated_pair
from sklearn_eqprop._estimators.fitted.arrays import FittedArrays, is_tied
from sklearn_eqprop._estimators.fitted.drawing import drawing_of
from sklearn_eqprop._estimators.fitted.model_file import packed_estimator, unpacked_estimator
from sklearn_eqprop._estimators.fitted.settle import (
    NudgeRequest,
    computing,
    explains_full_device,
    prediction_backend,
    settle_validated,
    settled,
)
from sklearn_eqprop._estimators.fitting.fit import Call, fit
from sklearn_eqprop._estimators.parameters.checks import check_beta, check_clamped_phase
from sklearn_eqprop._estimators.parameters.config import (
    Config,
    are_checked,
    given_parameters,
)
from sklearn_eqprop._estimators.parameters.constraints import SHARED
from sklearn_eqprop._estimators.targets import Labels, Numbers
from sklearn_eqprop._network import feedback_gains
from sklearn_eqprop._relaxation import Result
from sklearn_eqprop._sklearn_compat import CallbackSupportMixin, InvalidParameterError, _fit_context


@dataclass(eq=False, repr=False)
class BaseEqProp(
    CallbackSupportMixin, ClassNamePrefixFeaturesOutMixin, TransformerMixin, BaseEstimator
):
    """Common part of `EqPropClassifier` and `EqPropRegressor`, which explain the parameters.

    The fields of this dataclass are the parameters: `dataclass` writes the constructor. A subclass
    has ``@dataclass(eq=False, repr=False, kw_only=True)`` and states only what differs. The fields
    with ``init=False`` tell type checkers about the fitted attributes.
    """

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = SHARED
    #: Whether the output layer stands for labels or for numbers.
    _targets: ClassVar[type[Labels] | type[Numbers]]

    hidden_layer_sizes: Any = (100,)
    _: KW_ONLY
    activation: str = "relu"
    output_activation: str = "identity"
    feedback: str = "untied"
    gradient: str = "vector_field"
    credit_coordinates: str = "auto"
    nudging: str | int = "one_sided"
    feedback_init: str = "transpose"
    feedback_scale: float = 0.3
    feedback_learning: str = "kolen_pollack"
    objective: str = "fixed_point"
    connections: Any = None
    loop_gain: float | str | None = "auto"
    layerwise_rescale: bool = True
    beta: float | str = "auto"
    relaxation: str = "gauss_seidel"
    step_size: float = 1.0
    max_relax_iter: int = 200
    max_nudge_iter: int = 200
    relax_tol: float | str = "auto"
    loss: Any = "squared_error"
    optimizer: str = "adam"
    learning_rate_init: Any = 3e-3
    learning_rate: str = "constant"
    momentum: float = 0.9
    alpha: float | str = "auto"
    batch_size: int | str = "auto"
    max_iter: int = 200
    early_stopping: bool = False
    validation_fraction: float = 0.1
    scoring: Any = None
    restore_best_weights: bool = False
    average_weights: bool = False
    n_iter_no_change: int | None = 10
    tol: float = 1e-4
    shuffle: bool = True
    augment: Any = None
    warm_start: bool = False
    checkpoint: Any = None
    verbose: bool | int = False
    random_state: Any = None
    transform_layers: Any = None
    input_shape: tuple[int, ...] | None = None
    backend: str = "auto"
    dtype: str = "auto"
    substrate: Any = None

    n_features_in_: int = field(init=False)
    feature_names_in_: np.ndarray = field(init=False)
    coefs_: list[np.ndarray] = field(init=False)
    intercepts_: list[np.ndarray] = field(init=False)
    connections_: tuple[tuple[int, int], ...] = field(init=False)
    backend_: str = field(init=False)
    n_layers_: int = field(init=False)
    n_outputs_: int = field(init=False)
    alpha_: float = field(init=False)
    n_iter_: int = field(init=False)
    t_: int = field(init=False)
    loss_: float = field(init=False)
    best_loss_: float | None = field(init=False)
    loss_curve_: list[float] = field(init=False)
    validation_scores_: list[float] | None = field(init=False)
    best_validation_score_: float | None = field(init=False)
    relaxation_: dict[str, list[float]] = field(init=False)

    @_fit_context(prefer_skip_nested_validation=True)
    def fit(
        self,
        X: Any,
        y: Any,
        sample_weight: Any = None,
        *,
        X_val: Any = None,
        y_val: Any = None,
        sample_weight_val: Any = None,
    ) -> Self:
        """Train the network.

        Parameters
        ----------
        X : array-like or sparse matrix of shape (n_samples, n_features)
            Inputs. Scale them to zero mean and unit variance (StandardScaler).
        y : array-like of shape (n_samples,) or (n_samples, n_outputs)
            Targets: class labels or a 0/1 matrix (multilabel) for the classifier, numbers on any
            scale for the regressor.
        sample_weight : array-like of shape (n_samples,), default=None
            Weights >= 0. A sample of weight 0 is left out.
        X_val : array-like or sparse matrix of shape (n_val, n_features), default=None
            Samples that judge training, with ``early_stopping=True``. Preprocess them as X.
        y_val : array-like of shape (n_val,) or (n_val, n_outputs), default=None
            Their targets.
        sample_weight_val : array-like of shape (n_val,), default=None
            Their weights in the score.

        Returns
        -------
        self
            The fitted estimator.

        Raises
        ------
        ValueError
            If a parameter, X, y or a weight is not usable. The estimator does not change.
        DivergenceError
            If numbers stop being finite. The weights of the last good epoch, if any, are kept.
        KeyboardInterrupt
            If Ctrl-C is pressed before the end of the first epoch, or if a search or an ensemble
            has called ``fit``. The estimator does not change. Otherwise Ctrl-C ends training with a
            warning, and the weights of the last whole epoch (or the best weights) are kept.
        """
        fit(self, Call(X, y, sample_weight, validation=(X_val, y_val, sample_weight_val)))
        return self

    @explains_full_device
    def relax(self, X: Any, y: Any = None, beta: float = 0.0) -> Result:
        """Let the network settle, and return the equilibrium of every row.

        Parameters
        ----------
        X : array-like or sparse matrix of shape (n_samples, n_features)
            Inputs, which are clamped.
        y : array-like of shape (n_samples,) or (n_samples, n_outputs), default=None
            Targets towards which the output is nudged; needed if `beta` is not 0.
        beta : float, default=0.0
            Influence parameter. 0 gives the free fixed point (Eq. 10, Scellier et al. 2018). Any
            other value gives the nudged fixed point that follows from it (Eq. 16). Infinity holds
            the output at the target.

        Returns
        -------
        Result
            With ``states`` (list of L arrays (n_samples, n_l), layers 1 to L), ``n_steps``,
            ``residual``, ``converged`` (arrays of shape (n_samples,)) and ``reason`` (str). With
            ``objective='trajectory'`` the states are averages over the last ``n_averaged`` of
            ``n_steps`` steps, ``residual`` is what still moves at their end, and ``converged`` is
            False only for samples that run away.

        Raises
        ------
        ValueError
            If `beta` is not 0 and `y` is missing or does not fit; if `beta` is negative and the
            nudged phase could be unstable; or if it is infinite and the loss is not the squared
            error, or the objective is 'trajectory'.
        DivergenceError
            If a state is not finite.
        """
        check_is_fitted(self)
        if not isinstance(beta, Real) or isinstance(beta, (bool, np.bool_)):
            msg = f"beta must be a real number, 0 for the free phase. Got {beta!r}."
            raise InvalidParameterError(msg)
        if y is not None and np.ndim(y) == 0:
            msg = (
                f"y={y!r} is one value, but y needs a target per row. Is it beta? Write beta={y!r}."
            )
            raise ValueError(msg)
        if beta == 0:
            return settled(self, X, all_layers=True).result_given_back()
        if y is None:
            msg = f"beta={beta!r} needs y: pass the targets towards which the output is nudged."
            raise ValueError(msg)
        config = computing(self)
        if beta == math.inf:
            check_clamped_phase(config)
        targets = self._targets.of(self, config)
        check_beta(config, targets.loss, beta, pushes_away=beta < 0, held=False)
        backend = prediction_backend(config)
        X, y, home = validated_pair(self, X, targets.plain(y), backend)
        arrays = FittedArrays.of(self)
        target = targets.encode(targets.checked(y, config), arrays.dtype)
        nudge = NudgeRequest(targets.loss, target, float(beta))
        nudged = settle_validated(config, arrays, backend, X, home, nudge=nudge)
        return nudged.result_given_back()

    @explains_full_device
    def transform(self, X: Any) -> np.ndarray:
        """Return the equilibrium states of the hidden layers (averages, see `objective`).

        Parameters
        ----------
        X : array-like or sparse matrix of shape (n_samples, n_features)

        Returns
        -------
        ndarray of shape (n_samples, n_units)
            States s_1 .. s_{L-1} of the free phase, or those of `transform_layers`, side by side,
            input side first. Convolutional layers are flattened by height, width and filter.

        Raises
        ------
        ValueError
            If there is no hidden layer, or `transform_layers` names a layer that does not exist.
        """
        free = settled(self, X, all_layers=True)
        states = free.result.states
        layers = free.config.chosen_layers(len(states))
        if not layers:
            msg = (
                "transform needs a hidden layer, but hidden_layer_sizes is empty. "
                "transform_layers=1 would return the output."
            )
            raise ValueError(msg)
        chosen = [states[layer - 1] for layer in layers]
        return free.give_back(free.backend.xp.concatenate(chosen, axis=1))

    @property
    def _n_features_out(self) -> int:
        """Number of columns of `transform`, for get_feature_names_out."""
        sizes = FittedArrays.of(self).layout.sizes
        return sum(sizes[layer] for layer in Config.of(self).chosen_layers(len(sizes) - 1))

    @property
    def feedback_coefs_(self) -> list[np.ndarray] | tuple[np.ndarray, ...]:
        """Feedback weights, one array (n_source, n_target) per feedback connection.

        Beside a convolution they are kernels of its shape, which feedback uses in reverse. Assign
        other arrays to replace them. With ``feedback='tied'`` they are the transposes of their
        partners in ``coefs_`` (kernels are not transposed) times ``feedback_gains_``. They follow
        ``coefs_`` and cannot be assigned. The entry of an identity is its strength γ, of shape ().
        """
        weights: list[np.ndarray] = self._fitted_feedback("feedback_coefs_")
        if not is_tied(weights):
            return weights
        partners = self._layout.wiring.partners
        of_partners = [self.coefs_[partner] for partner in partners if partner is not None]
        return tuple(
            gain * (coef.T if coef.ndim == 2 else coef) if coef.size else gain
            for gain, coef in zip(weights, of_partners, strict=True)
        )

    @feedback_coefs_.setter
    def feedback_coefs_(self, value: list[np.ndarray]) -> None:
        if is_tied(vars(self).get("_feedback_coefs", ())):
            msg = "feedback_coefs_ is tied to coefs_ (feedback='tied'): assign coefs_ instead."
            raise AttributeError(msg)
        if value is None or is_tied(value):
            msg = f"feedback_coefs_={value!r}: assign arrays, one per feedback connection."
            raise ValueError(msg)
        self._feedback_coefs = value

    @property
    def feedback_gains_(self) -> np.ndarray:
        """Strength γ of each feedback connection relative to its forward partner.

        It is the ratio of the Frobenius norms of B and F. With ``feedback='tied'``, B = γ F^T.
        """
        self._fitted_feedback("feedback_gains_")
        network = FittedArrays.of(self).network(Config.of(self), NumpyBackend())
        return np.array(feedback_gains(network))

    @property
    def substrate_(self) -> Any:
        """The hardware that was trained; None: the simulated network."""
        check_is_fitted(self)
        hardware = vars(self).get("_hardware")
        return None if hardware is None else hardware.substrate

    def _fitted_feedback(self, name: str) -> list[np.ndarray]:
        if "_feedback_coefs" not in vars(self):
            msg = f"{type(self).__name__!r} object has no attribute {name!r}"
            raise AttributeError(msg)
        weights: list[np.ndarray] = vars(self)["_feedback_coefs"]
        return weights

    def __sklearn_tags__(self) -> Any:
        """Return scikit-learn's tags of the estimator."""
        tags = super().__sklearn_tags__()
        preserved = ["float64", "float32"] if self.dtype == "auto" else [self.dtype]
        tags.input_tags.sparse = True
        tags.transformer_tags.preserves_dtype = preserved
        return tags

    def __getstate__(self) -> dict[str, Any]:
        """Return the content of a model file."""
        return packed_estimator(super().__getstate__()) | {"_is_checked": are_checked(self)}

    def __setstate__(self, stored: dict[str, Any]) -> None:
        """Restore the content of a model file."""
        attributes = unpacked_estimator(stored)
        is_checked = attributes.pop("_is_checked", False)
        super().__setstate__(attributes)
        if is_checked:  # validation would take much of the time of a prediction on one row
            self.__dict__["_checked_parameters"] = given_parameters(self)

    def _repr_html_inner(self) -> str:
        """Return scikit-learn's diagram with a picture of the network below it."""
        html: str = super()._repr_html_inner()
        return html + drawing_of(self)

    def _repr_mimebundle_(self, **kwargs: Any) -> dict[str, str]:
        """Return scikit-learn's representations, the HTML one with a picture of the network."""
        bundle: dict[str, str] = super()._repr_mimebundle_(**kwargs)
        if "text/html" in bundle:
            bundle["text/html"] += drawing_of(self)
        return bundle
