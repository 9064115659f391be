"""What a classifier does: train on labels, and say them."""

from __future__ import annotations

from typing import Any, Self

import numpy as np
from sklearn.base import ClassifierMixin
from sklearn.metrics import accuracy_score
from sklearn.utils.metaestimators import available_if

from sklearn_eqprop._backend import ArrayBackend, NumpyBackend
from sklearn_eqprop._backend.array_backend import Array
from sklearn_eqprop._estimators.data.array_home import on_host
from sklearn_eqprop._estimators.data.device_memory import explains_full_device
from sklearn_eqprop._estimators.data.inputs import refuse_unusable_targets, weight_of_scores
from sklearn_eqprop._estimators.settling import Settled
from sklearn_eqprop._estimators.targets.class_targets import ClassTargets
from sklearn_eqprop._estimators.targets.targets import without_nullable_type
from sklearn_eqprop._losses.base import ClassificationLoss
from sklearn_eqprop._losses.log_loss import LogLoss, MultilabelLogLoss
from sklearn_eqprop._losses.squared_error import MultilabelSquaredError, SquaredError
from sklearn_eqprop._losses.user_loss import WrappedLoss
from sklearn_eqprop._network import Reach
from sklearn_eqprop._sklearn_compat import _fit_context

#: Loss by loss, for one label a sample and for several.
LOSSES: dict[str, type[ClassificationLoss]] = {"log_loss": LogLoss, "squared_error": SquaredError}
_MULTILABEL_LOSSES: dict[str, type[ClassificationLoss]] = {
    "log_loss": MultilabelLogLoss,
    "squared_error": MultilabelSquaredError,
}


def _has_probabilities(classifier: Classification) -> bool:
    """Whether outputs stand for probabilities: not under every loss of a user's own."""
    return isinstance(classifier.loss, str) or hasattr(classifier.loss, "probabilities")


class Classification(ClassifierMixin, ClassTargets):
    """Methods of `EqPropClassifier`, which adds the parameters."""

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
            Inputs; best brought to zero mean and unit variance (StandardScaler).
        y : array-like of shape (n_samples,) or (n_samples, n_labels)
            Class labels, or a 0/1 indicator matrix (multilabel).
        sample_weight : array-like of shape (n_samples,), default=None
            Weights >= 0; a sample of weight 0 is left out.
        X_val : array-like or sparse matrix of shape (n_val, n_features), default=None
            Samples to judge training by, with ``early_stopping=True``.
        y_val : array-like of shape (n_val,) or (n_val, n_outputs), default=None
            Their targets.
        sample_weight_val : array-like of shape (n_val,), default=None
            Their weights in the score.

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
        self._fit(
            X,
            without_nullable_type(y),
            sample_weight,
            incremental=False,
            validation=(X_val, y_val, sample_weight_val),
        )
        return self

    @_fit_context(prefer_skip_nested_validation=True)
    def partial_fit(
        self, X: Any, y: Any, classes: Any = None, *, sample_weight: Any = None
    ) -> Self:
        """Train for one pass over the given samples, going on from where training stands.

        Parameters
        ----------
        X : array-like or sparse matrix of shape (n_samples, n_features)
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

    @explains_full_device
    def predict(self, X: Any) -> np.ndarray:
        """Class of the largest output at the free equilibrium (on average, see `objective`).

        Parameters
        ----------
        X : array-like or sparse matrix of shape (n_samples, n_features)

        Returns
        -------
        ndarray of shape (n_samples,) or (n_samples, n_labels)
            Labels, or a 0/1 indicator matrix.
        """
        settled = self._settled_to_decide(X, self._is_decided)
        return settled.home.give_back(self._decide(settled.output, settled.backend))

    @explains_full_device
    def decision_function(self, X: Any) -> np.ndarray:
        """Output states at the free equilibrium (averages, see `objective`), as confidence scores.

        Parameters
        ----------
        X : array-like or sparse matrix of shape (n_samples, n_features)

        Returns
        -------
        ndarray of shape (n_samples,), (n_samples, n_classes) or (n_samples, n_labels)
            With two classes the difference of the two outputs, above 0 for ``classes_[1]``; with
            multilabel targets above 0 where the label is predicted.
        """
        settled = self._settled(X)
        output = settled.output
        if self._multilabel:
            output = output - self._label_threshold()
        elif self.n_outputs_ == 2:
            output = output[:, 1] - output[:, 0]
        return settled.home.give_back(output)

    @available_if(_has_probabilities)
    @explains_full_device
    def predict_proba(self, X: Any) -> np.ndarray:
        """Class probabilities at the free equilibrium (of the average output, see `objective`).

        With ``loss='log_loss'`` the softmax of the outputs (logistic function for multilabel
        targets); with 'squared_error' the point of the probability simplex nearest to the outputs.
        A loss of your own must have a method ``probabilities(output)``.

        Parameters
        ----------
        X : array-like or sparse matrix of shape (n_samples, n_features)

        Returns
        -------
        ndarray of shape (n_samples, n_classes) or (n_samples, n_labels)
        """
        settled = self._settled(X)
        return settled.home.give_back(self._probabilities(settled))

    @available_if(_has_probabilities)
    @explains_full_device
    def predict_log_proba(self, X: Any) -> np.ndarray:
        """Logarithm of `predict_proba`.

        Parameters
        ----------
        X : array-like or sparse matrix of shape (n_samples, n_features)

        Returns
        -------
        ndarray of shape (n_samples, n_classes) or (n_samples, n_labels)
        """
        settled = self._settled(X)
        with np.errstate(divide="ignore"):  # a probability of 0 is an answer, not an accident
            logarithms = settled.backend.xp.log(self._probabilities(settled))
        return settled.home.give_back(logarithms)

    def _probabilities(self, settled: Settled) -> Array:
        return self._loss().probabilities(settled.backend.xp, settled.output)

    @explains_full_device
    def score(self, X: Any, y: Any, sample_weight: Any = None) -> float:
        """Accuracy of the predictions; with multilabel targets of whole rows.

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
        settled = self._settled_to_decide(X, self._is_decided)
        decided = on_host(self._decide(settled.output, settled.backend))
        weight = weight_of_scores(sample_weight, decided)
        y = without_nullable_type(on_host(y))
        return float(accuracy_score(y, decided, sample_weight=weight))

    def _loss(self) -> ClassificationLoss:
        if not isinstance(self.loss, str):
            return WrappedLoss(self.loss)
        losses = _MULTILABEL_LOSSES if self._multilabel else LOSSES
        return losses[self.loss]()

    def _label_threshold(self) -> float:
        if isinstance(self.loss, str):
            return 0.5 if self.loss == "squared_error" else 0.0
        return float(self.loss.label_threshold)

    def _is_decided(self, output: np.ndarray, reach: Reach) -> np.ndarray:
        """Rows whose label is the same wherever within reach the output's equilibrium is."""
        if self._multilabel:
            decided = np.abs(output - self._label_threshold()) > reach.of_outputs()
        else:
            leader = output.argmax(axis=1)
            lead = np.take_along_axis(output, leader[:, None], axis=1) - output
            decided = lead > reach.of_differences(leader)
            np.put_along_axis(decided, leader[:, None], True, axis=1)
        return np.all(decided, axis=1)

    def _decide(self, output: Array, backend: ArrayBackend) -> Array:
        """Labels, where the outputs are; text has no place on a device and is NumPy's."""
        if self._multilabel:
            return (output > self._label_threshold()).astype(np.int64)
        columns = output.argmax(axis=1)
        if self.classes_.dtype.kind not in "biuf":
            return self.classes_[backend.to_host(columns)]
        return backend.from_host(self.classes_, self.classes_.dtype)[columns]

    def _score_of_output(
        self, output: np.ndarray, y: np.ndarray, sample_weight: np.ndarray | None
    ) -> float:
        decided = self._decide(output, NumpyBackend())
        if self._multilabel:  # of labels: whole rows are right too rarely to show progress
            return float(np.average((decided == y).mean(axis=1), weights=sample_weight))
        return float(accuracy_score(y, decided, sample_weight=sample_weight))

    def __sklearn_tags__(self) -> Any:
        """See scikit-learn's developer guide."""
        tags = super().__sklearn_tags__()
        tags.classifier_tags.multi_label = True
        return tags
