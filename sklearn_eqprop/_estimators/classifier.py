"""Classification by equilibrium propagation."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, ClassVar, Self

import numpy as np
from sklearn.base import ClassifierMixin
from sklearn.metrics import accuracy_score

from sklearn_eqprop._estimators.base import BaseEqProp
from sklearn_eqprop._estimators.data.array_home import on_host
from sklearn_eqprop._estimators.data.inputs import (
    received,
    refuse_unusable_targets,
    weight_of_scores,
)
from sklearn_eqprop._estimators.fitted.settle import (
    explains_full_device,
    prediction_backend,
    settled,
)
from sklearn_eqprop._estimators.fitting.fit import Call, fit
from sklearn_eqprop._estimators.parameters.config import loss_of
from sklearn_eqprop._estimators.parameters.constraints import OF_CLASSIFIER
from sklearn_eqprop._estimators.parameters.documentation import documented
from sklearn_eqprop._estimators.targets import Labels
from sklearn_eqprop._losses import LABEL_LOSSES
from sklearn_eqprop._sklearn_compat import _fit_context, available_if

LOSS = """\
loss : {choices} or object, default
    Learning. 'log_loss': cross-entropy of a softmax readout (of logistic readouts with multilabel
    targets). 'squared_error': squared distance from 0/1 targets (the paper). Or an object with the
    methods ``value(output, target)`` and ``derivative(output, target)``, see the user guide."""
SCORING = """\
scoring : str, callable or None, default
    Training. Metric for early stopping. None: accuracy (per label with multilabel targets).
    'loss': the negative loss, without the penalty. Any other name or callable is a scorer of
    scikit-learn. `sample_weight` counts if the scorer takes weights, `class_weight` never does."""
CLASS_WEIGHT = """\
class_weight : dict, 'balanced' or None, default
    Data. Weights of the classes in the training loss, multiplied with `sample_weight`. Not for
    multilabel targets.
"""
LABEL_SMOOTHING = """\
label_smoothing : float, default
    Learning. Share ε in [0, 1) of each target that is spread over all K classes: the target is
    1 - ε + ε/K for the class and ε/K for the others (Szegedy et al. 2016, arXiv:1512.00567). With
    multilabel targets 1 becomes 1 - ε/2 and 0 becomes ε/2. Scores use the labels themselves.
"""


def _has_probabilities(classifier: EqPropClassifier) -> bool:
    """Return whether the loss gives probabilities; the user's own loss need not."""
    loss = loss_of(classifier)
    return isinstance(loss, str) or hasattr(loss, "probabilities")


@documented(
    LABEL_LOSSES,
    loss=LOSS,
    scoring=SCORING,
    class_weight=CLASS_WEIGHT,
    label_smoothing=LABEL_SMOOTHING,
)
@dataclass(eq=False, repr=False, kw_only=True)
class EqPropClassifier(ClassifierMixin, BaseEqProp):
    """Classifier whose network is trained by equilibrium propagation.

    The network settles twice: once freely, which gives the prediction, and once with its outputs
    nudged towards the targets. The difference between the two equilibria, seen locally at each
    synapse, is the weight update (Scellier et al. 2018).

    The parameters form five groups. Try these first: `hidden_layer_sizes`, `activation` and
    `loop_gain` of the group Network; `gradient` and `beta` of Learning; `learning_rate_init`,
    `alpha`, `max_iter` and `early_stopping` of Training; `dtype` of Data. A changed parameter takes
    effect in the next ``fit``. The group Settling, `transform_layers` and `backend` also apply to
    an estimator that is fitted.

    {parameters}

    Attributes
    ----------
    classes_ : ndarray of shape (n_classes,) or (n_labels,)
        Class labels, sorted. With multilabel targets: the numbers of the columns of y.
    {attributes}

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

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = OF_CLASSIFIER
    _targets: ClassVar[type[Labels]] = Labels

    loss: Any = "log_loss"
    class_weight: Any = None
    label_smoothing: float = 0.0

    classes_: np.ndarray = field(init=False)

    @_fit_context(prefer_skip_nested_validation=True)
    def partial_fit(
        self, X: Any, y: Any, classes: Any = None, *, sample_weight: Any = None
    ) -> Self:
        """Train for one pass over the given samples, continuing the training so far.

        Parameters
        ----------
        X : array-like or sparse matrix of shape (n_samples, n_features)
            Inputs. The first call fixes the scales of the columns: give it at least 10 typical
            rows.
        y : array-like of shape (n_samples,) or (n_samples, n_labels)
            Class labels, or a 0/1 matrix (multilabel).
        classes : array-like of shape (n_classes,), default=None
            All labels that will ever occur; needed in the first call (not for multilabel y).
        sample_weight : array-like of shape (n_samples,), default=None
            Weights >= 0.

        Returns
        -------
        EqPropClassifier
            The fitted estimator.

        Raises
        ------
        ValueError
            As ``fit``; also for labels that are not in `classes`.
        DivergenceError
            If numbers stop being finite. The estimator does not change.
        """
        if self.class_weight == "balanced":
            msg = (
                "class_weight='balanced' needs all samples at once and is not supported by "
                "partial_fit. Pass a dict of weights, or sample_weight."
            )
            raise ValueError(msg)
        fit(self, Call(X, y, sample_weight, classes=classes, incremental=True))
        return self

    @explains_full_device
    def predict(self, X: Any) -> np.ndarray:
        """Return the class with the largest output at the free equilibrium.

        With ``objective='trajectory'`` it is the class with the largest average output.

        Parameters
        ----------
        X : array-like or sparse matrix of shape (n_samples, n_features)

        Returns
        -------
        ndarray of shape (n_samples,) or (n_samples, n_labels)
            Labels, or a 0/1 matrix.
        """
        free = settled(self, X, labels_only=True)
        labels = Labels.of(self, free.config)
        return free.give_back(labels.decode(free.output, free.backend))

    @explains_full_device
    def decision_function(self, X: Any) -> np.ndarray:
        """Return output states at the free equilibrium (averages, see `objective`) as scores.

        Parameters
        ----------
        X : array-like or sparse matrix of shape (n_samples, n_features)

        Returns
        -------
        ndarray of shape (n_samples, n_classes) or (n_samples,)
            With two classes, the output of the second minus that of the first. With multilabel
            targets, the output minus the threshold above which a label is predicted.
        """
        free = settled(self, X)
        return free.give_back(Labels.of(self, free.config).decision(free.output))

    @available_if(_has_probabilities)
    @explains_full_device
    def predict_proba(self, X: Any) -> np.ndarray:
        """Return class probabilities at the free equilibrium (of averages, see `objective`).

        With ``loss='log_loss'`` they are the softmax of the outputs (the logistic function for
        multilabel targets). With 'squared_error' they are the point of the probability simplex
        nearest to the outputs. The user's own loss must have a method ``probabilities(output)``.

        Parameters
        ----------
        X : array-like or sparse matrix of shape (n_samples, n_features)

        Returns
        -------
        ndarray of shape (n_samples, n_classes) or (n_samples, n_labels)
        """
        free = settled(self, X)
        loss = Labels.of(self, free.config).loss
        return free.give_back(loss.probabilities(free.backend.xp, free.output))

    @available_if(lambda classifier: hasattr(classifier, "predict_proba"))
    @explains_full_device
    def predict_log_proba(self, X: Any) -> np.ndarray:
        """Return the logarithm of `predict_proba`.

        Parameters
        ----------
        X : array-like or sparse matrix of shape (n_samples, n_features)

        Returns
        -------
        ndarray of shape (n_samples, n_classes) or (n_samples, n_labels)
        """
        backend = prediction_backend(self)
        probabilities, home = received(self.predict_proba(X), backend)
        xp = backend.xp if home.on_device else np
        return home.give_back(xp.log(probabilities))

    @explains_full_device
    def score(self, X: Any, y: Any, sample_weight: Any = None) -> float:
        """Return the accuracy of `predict`. A multilabel row counts if all its labels are right.

        Parameters
        ----------
        X : array-like or sparse matrix of shape (n_samples, n_features)
        y : array-like of shape (n_samples,) or (n_samples, n_labels)
        sample_weight : array-like of shape (n_samples,), default=None
            Weights >= 0.

        Returns
        -------
        float
        """
        refuse_unusable_targets(y)
        predicted = on_host(self.predict(X))
        weight = weight_of_scores(sample_weight, predicted)
        y = self._targets.plain(on_host(y))
        return float(accuracy_score(y, predicted, sample_weight=weight))

    def __sklearn_tags__(self) -> Any:
        """Return scikit-learn's tags of the estimator."""
        tags = super().__sklearn_tags__()
        tags.classifier_tags.multi_label = True
        return tags
