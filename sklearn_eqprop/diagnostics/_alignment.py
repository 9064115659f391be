"""Theorem 1: the angle between what equilibrium propagation follows and the true gradient."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from sklearn_eqprop.diagnostics._blocks import blocks_of
from sklearn_eqprop.diagnostics._directions import (
    Directions,
    cosine,
    inner,
    learning_directions,
    norm,
)
from sklearn_eqprop.diagnostics._readable import Readable, number, table
from sklearn_eqprop.diagnostics._subject import Subject, subject_of, warn_about_unsettled


@dataclass(frozen=True, repr=False, eq=False)
class BlockAlignment(Readable):
    """One block of parameters, seen by ν and by the gradient.

    Attributes
    ----------
    name : str
        ``F_l`` (forward weights into layer l), ``B_l`` (feedback into it) or ``b_l`` (its bias);
        ``F_k→l`` and ``B_k→l``, weights from layer k to layer l, where not only neighbours are
        joined.
    role : {'forward', 'feedback', 'bias'}
    source : int or None
        The layer the block reads, 0 (the input) to L; None for a bias.
    layer : int
        The layer the block drives, 1..L.
    cosine : float
        Of ν with -dJ/dθ; NaN where one of them is 0.
    update_cosine : float or None
        Of the estimator's own update with -dJ/dθ; None for feedback that moves by another rule.
    limit_cosine : float or None
        What `update_cosine` tends to as β goes to 0 and the phases settle. It is `cosine` unless
        the gradient is exact or `credit_coordinates` are those of the rate.
    nu_norm, gradient_norm : float
        Sizes of ν and of dJ/dθ.
    """

    name: str
    role: str
    source: int | None
    layer: int
    cosine: float
    update_cosine: float | None
    limit_cosine: float | None
    nu_norm: float
    gradient_norm: float

    def __str__(self) -> str:
        """See `Readable`."""
        return f"{self.name}: cosine {number(self.cosine)}, update {number(self.update_cosine)}"


@dataclass(frozen=True, repr=False, eq=False)
class GradientAlignment(Readable):
    """What `gradient_alignment` found.

    Attributes
    ----------
    overall : float
        Cosine of ν with -dJ/dθ over all parameters (Theorem 1); 1 where A is symmetric.
    update : float
        Cosine of the estimator's own update with -dJ/dθ over the blocks that it trains by it: with
        its `gradient`, `nudging`, `beta` and `layerwise_rescale`, settled as far as in training
        (`relax_tol`, `max_relax_iter`, `max_nudge_iter`), before weight decay and before the
        optimiser. NaN where its phases run away.
    limit : float
        What `update` tends to as β goes to 0 and the phases settle.
    blocks : list of BlockAlignment
        Forward weights by layer, feedback, biases.
    slope : float
        dJ/dθ · ν, negative where a small step along ν lowers J.
    objective : float
        J, the mean loss at the free equilibria, without the penalty on the weights; of a regressor
        in its standardised units.
    rescaled : bool
        Whether the update undoes the attenuation of the error signal layer by layer.
    n_samples, n_unsettled : int
        Samples looked at, and those that did not settle.
    """

    overall: float
    update: float
    limit: float
    blocks: list[BlockAlignment]
    slope: float
    objective: float
    rescaled: bool
    n_samples: int
    n_unsettled: int

    def __str__(self) -> str:
        """See `Readable`."""
        angle = math.degrees(math.acos(self.overall)) if self.overall == self.overall else math.nan
        rows = [
            [
                block.name,
                number(block.cosine),
                number(block.update_cosine),
                number(block.limit_cosine),
                f"{block.nu_norm:.2e}",
                f"{block.gradient_norm:.2e}",
            ]
            for block in self.blocks
        ]
        rows.append(["all", number(self.overall), number(self.update), number(self.limit), "", ""])
        kind = "rescaled layer by layer" if self.rescaled else "as it is"
        return (
            f"Alignment with -dJ/dθ over {self.n_samples} samples ({self.n_unsettled} unsettled)\n"
            + table(["block", "cosine of ν", "of the update", "its limit", "|ν|", "|dJ/dθ|"], rows)
            + f"\nAngle of ν: {number(angle, '.1f')}°; dJ/dθ · ν = {self.slope:.3g}; J = "
            f"{self.objective:.4g}; update taken {kind}"
        )


def gradient_alignment(estimator: Any, X: Any, y: Any) -> GradientAlignment:
    """Angle between what equilibrium propagation follows and the gradient (Theorem 1).

    With A = ∂μ/∂s at the free equilibrium and C_s = ∂C/∂s (Eqs. 25, 26, Scellier et al. 2018)

        dJ/dθ = -C_s A^{-1} ∂μ/∂θ,     ν(θ) = C_s (A^T)^{-1} ∂μ/∂θ.

    Both are worked out in float64, whatever the type of the weights, in the limit β → 0. Units
    of bounded activations that are at a bound drop out of A.

    Parameters
    ----------
    estimator : EqPropClassifier or EqPropRegressor
        Fitted. It is not changed.
    X : array-like or sparse matrix of shape (n_samples, n_features)
        Inputs, as the estimator's fit sees them; a few hundred rows tell enough.
        Sparse X is made dense, some rows at a time, and gives what dense X gives.
    y : array-like of shape (n_samples,) or (n_samples, n_outputs)
        Targets.

    Returns
    -------
    GradientAlignment
        Cosines for each block of parameters and overall.

    Raises
    ------
    TypeError
        If `estimator` is not an estimator of this package.
    NotFittedError
        If it is not fitted.
    ValueError
        If y is missing, or X or y do not fit the estimator.
    DivergenceError
        If a state or a signal is not finite.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from sklearn.preprocessing import StandardScaler
    >>> from sklearn_eqprop import EqPropClassifier
    >>> from sklearn_eqprop.diagnostics import gradient_alignment
    >>> X, y = load_iris(return_X_y=True)
    >>> X = StandardScaler().fit_transform(X)
    >>> model = EqPropClassifier((20, 20), max_iter=20, learning_rate="cosine", random_state=0)
    >>> bool(gradient_alignment(model.fit(X, y), X, y).update > 0.9)
    True
    """
    subject = subject_of("gradient_alignment", estimator, X, y, needs_y=True)
    directions = learning_directions(subject)
    warn_about_unsettled("gradient_alignment", directions.n_unsettled, subject.X.shape[0])
    return alignment_of(subject, directions)


def alignment_of(subject: Subject, directions: Directions) -> GradientAlignment:
    """The angles between directions that have been worked out."""
    descent, nu, update, limit = (
        directions.descent,
        directions.nu,
        directions.update,
        directions.limit,
    )
    blocks = [
        BlockAlignment(
            **block._asdict(),
            cosine=cosine([of_nu], [of_descent]),
            update_cosine=None if of_update is None else cosine([of_update], [of_descent]),
            limit_cosine=None if of_limit is None else cosine([of_limit], [of_descent]),
            nu_norm=norm([of_nu]),
            gradient_norm=norm([of_descent]),
        )
        for block, of_descent, of_nu, of_update, of_limit in zip(
            blocks_of(subject.network), descent, nu, update, limit, strict=True
        )
    ]
    return GradientAlignment(
        overall=cosine(nu, descent),
        update=_cosine_where_trained(update, descent),
        limit=_cosine_where_trained(limit, descent),
        blocks=blocks,
        slope=-inner(nu, descent),
        objective=directions.objective,
        rescaled=directions.rescaled,
        n_samples=subject.X.shape[0],
        n_unsettled=directions.n_unsettled,
    )


def _cosine_where_trained(
    changes: Sequence[np.ndarray | None], descent: Sequence[np.ndarray]
) -> float:
    """Cosine over the blocks that there is a change of."""
    pairs = [(c, d) for c, d in zip(changes, descent, strict=True) if c is not None]
    return cosine([change for change, _ in pairs], [down for _, down in pairs])
