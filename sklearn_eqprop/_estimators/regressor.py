"""Regression by equilibrium propagation."""

from dataclasses import dataclass, field
from typing import Any, ClassVar, Self

import numpy as np
from sklearn.base import RegressorMixin
from sklearn.utils import check_array, check_consistent_length

from sklearn_eqprop._estimators.base import BaseEqProp
from sklearn_eqprop._estimators.data.array_home import on_host
from sklearn_eqprop._estimators.data.inputs import refuse_unusable_targets, weight_of_scores
from sklearn_eqprop._estimators.fitted.settle import explains_full_device, settled
from sklearn_eqprop._estimators.fitting.fit import Call, fit
from sklearn_eqprop._estimators.parameters.config import Config
from sklearn_eqprop._estimators.parameters.constraints import OF_REGRESSOR
from sklearn_eqprop._estimators.parameters.documentation import documented
from sklearn_eqprop._estimators.targets import Numbers
from sklearn_eqprop._estimators.targets.numbers import r2
from sklearn_eqprop._losses import NUMBER_LOSSES
from sklearn_eqprop._sklearn_compat import _fit_context

LOSS = """\
loss : {choices} or object, default
    Learning. 'squared_error': ½ ||y - s_L||² of the standardised targets. 'absolute_error': the sum
    of their ``|y - s_L|``. 'huber': quadratic up to one standard deviation of the targets, linear
    beyond. 'poisson': half the Poisson deviance of targets >= 0; the output is then the logarithm
    of the prediction (in units of their mean). Or an object with the methods
    ``value(output, target)`` and ``derivative(output, target)``, see the user guide."""
SCORING = """\
scoring : str, callable or None, default
    Training. Metric for early stopping. None: R². 'loss': the negative loss, without the penalty.
    Any other name or callable is a scorer of scikit-learn. `sample_weight` counts in the score if
    the scorer takes weights."""


@documented(NUMBER_LOSSES, loss=LOSS, scoring=SCORING)
@dataclass(eq=False, repr=False, kw_only=True)
class EqPropRegressor(RegressorMixin, BaseEqProp):
    """Regressor whose network is trained by equilibrium propagation.

    The network settles twice: once freely, which gives the prediction, and once with its outputs
    nudged towards the targets. The difference between the two equilibria, seen locally at each
    synapse, is the weight update (Scellier et al. 2018).

    Targets may have any scale: the network learns them standardised. The output is linear unless
    `output_activation` gives it bounds. With ``loss='poisson'`` it is the logarithm of the
    prediction.

    The parameters form five groups. Try these first: `hidden_layer_sizes`, `activation` and
    `loop_gain` of the group Network; `gradient` and `loss` of Learning; `learning_rate_init`,
    `alpha`, `max_iter` and `early_stopping` of Training; `dtype` of Data. A changed parameter takes
    effect in the next ``fit``. The group Settling, `transform_layers` and `backend` also apply to
    an estimator that is fitted.

    {parameters}

    Attributes
    ----------
    target_mean_, target_scale_ : ndarray of shape (n_outputs,)
        The network learns ``(y - target_mean_) / target_scale_``, and output states have this unit.
        With ``loss='poisson'`` they are 0 and the mean of the targets: an output state s stands for
        ``target_scale_ * exp(s)``.
    {attributes}

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

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = OF_REGRESSOR
    _targets: ClassVar[type[Numbers]] = Numbers

    nudging: str | int = "auto"

    target_mean_: np.ndarray = field(init=False)
    target_scale_: np.ndarray = field(init=False)

    @_fit_context(prefer_skip_nested_validation=True)
    def partial_fit(self, X: Any, y: Any, *, sample_weight: Any = None) -> Self:
        """Train for one pass over the given samples, continuing the training so far.

        The first call fixes `target_mean_` and `target_scale_`, and the scales of the columns of X:
        give it at least 10 typical rows. If it has one sample only, or an output whose targets are
        all equal, all calls fix the scales of the targets until there are 10 samples.

        Parameters
        ----------
        X : array-like or sparse matrix of shape (n_samples, n_features)
            Inputs.
        y : array-like of shape (n_samples,) or (n_samples, n_outputs)
            Targets.
        sample_weight : array-like of shape (n_samples,), default=None
            Weights >= 0.

        Returns
        -------
        EqPropRegressor
            The fitted estimator.

        Raises
        ------
        ValueError
            As ``fit``.
        DivergenceError
            If numbers stop being finite. The estimator does not change.
        """
        fit(self, Call(X, y, sample_weight, incremental=True))
        return self

    @explains_full_device
    def predict(self, X: Any) -> np.ndarray:
        """Return the output at the free equilibrium (its average, see `objective`).

        Parameters
        ----------
        X : array-like or sparse matrix of shape (n_samples, n_features)

        Returns
        -------
        ndarray of shape (n_samples,) or (n_samples, n_outputs)
            In the units of the targets.
        """
        free = settled(self, X)
        numbers = Numbers.of(self, free.config)
        return free.give_back(numbers.decode(free.output, free.backend))

    @explains_full_device
    def score(self, X: Any, y: Any, sample_weight: Any = None) -> float:
        """Return the coefficient of determination R² of `predict`.

        The size of the targets does not matter: their squares cannot overflow.

        Parameters
        ----------
        X : array-like or sparse matrix of shape (n_samples, n_features)
        y : array-like of shape (n_samples,) or (n_samples, n_outputs)
        sample_weight : array-like of shape (n_samples,), default=None
            Weights >= 0.

        Returns
        -------
        float
        """
        refuse_unusable_targets(y)
        y = check_array(on_host(y), ensure_2d=False, dtype=np.float64, input_name="y")
        predicted = np.asarray(on_host(self.predict(X)))
        check_consistent_length(predicted, y)
        weight = weight_of_scores(sample_weight, predicted)
        y, predicted = (values.reshape(values.shape[0], -1) for values in (y, predicted))
        if y.shape != predicted.shape:
            Numbers.of(self, Config.of(self)).check_n_outputs(y)
            msg = f"predict gives {predicted.shape[1]} outputs per sample, but y has {y.shape[1]}."
            raise ValueError(msg)
        return r2(y, predicted, weight)

    def __sklearn_tags__(self) -> Any:
        """Return scikit-learn's tags of the estimator."""
        tags = super().__sklearn_tags__()
        loss = NUMBER_LOSSES.get(self.loss) if isinstance(self.loss, str) else None
        tags.target_tags.multi_output = True
        tags.target_tags.positive_only = loss is not None and loss.predicts_log
        return tags
