"""Theorem 1: the angle between ν, the direction of equilibrium propagation, and the gradient."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from sklearn_eqprop._backend import ignoring_float_errors
from sklearn_eqprop.diagnostics._directions import (
    Directions,
    cosine,
    inner,
    learning_directions,
    norm,
)
from sklearn_eqprop.diagnostics._results import Readable, blocks_of, number, table
from sklearn_eqprop.diagnostics._subject import Subject, subject_of


@dataclass(frozen=True, repr=False, eq=False)
class BlockAlignment(Readable):
    """Alignment of one block of parameters.

    Attributes
    ----------
    name : str
        ``F_l`` (forward weights into layer l), ``B_l`` (feedback weights into it) or ``b_l`` (its
        bias). If connections skip layers, weights from layer k to layer l are named ``F_k→l`` and
        ``B_k→l``.
    role : {'forward', 'feedback', 'bias'}
    source : int or None
        The layer that the block reads, 0 (the input) to L. None for a bias.
    layer : int
        The layer that the block drives, 1 to L.
    cosine : float
        Cosine of ν with -dJ/dθ. NaN if one of them is 0.
    update_cosine : float or None
        Cosine of the estimator's update with -dJ/dθ. None for feedback weights that follow another
        rule.
    limit_cosine : float or None
        The limit of `update_cosine` as β goes to 0 and the phases settle. It equals `cosine`,
        except for exact gradients and for rate coordinates (`credit_coordinates`).
    nu_norm, gradient_norm : float
        Norms of ν and of dJ/dθ.
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
        """Return the name and the cosines in one line."""
        return f"{self.name}: cosine {number(self.cosine)}, update {number(self.update_cosine)}"


@dataclass(frozen=True, repr=False, eq=False)
class GradientAlignment(Readable):
    """Result of `gradient_alignment`.

    Attributes
    ----------
    overall : float
        Cosine of ν with -dJ/dθ over all parameters (Theorem 1). It is 1 if A is symmetric.
    update : float
        Cosine of the estimator's update with -dJ/dθ, over the blocks that the update trains. The
        update uses the estimator's `gradient`, `nudging`, `beta` and `layerwise_rescale`. It is
        settled as in training (`relax_tol`, `max_relax_iter`, `max_nudge_iter`), and taken before
        weight decay and the optimiser. NaN if a phase of training diverges.
    limit : float
        The limit of `update` as β goes to 0 and the phases settle.
    blocks : list of BlockAlignment
        Forward weights by layer, then feedback weights, then biases.
    slope : float
        dJ/dθ · ν. If it is negative, a small step along ν lowers J.
    objective : float
        J, the mean loss at the free equilibria, without the penalty on the weights. For a
        regressor it is in standardised units.
    rescaled : bool
        Whether the update undoes the attenuation of the error signal layer by layer.
    n_samples, n_unsettled : int
        Number of samples, and of those that did not settle.
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
        """Return the cosines as a table with one line per block."""
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
        kind = "rescaled layer by layer" if self.rescaled else "not rescaled"
        return (
            f"Alignment with -dJ/dθ over {self.n_samples} samples ({self.n_unsettled} unsettled)\n"
            + table(["block", "cosine of ν", "of the update", "its limit", "|ν|", "|dJ/dθ|"], rows)
            + f"\nAngle of ν: {number(angle, '.1f')}°; dJ/dθ · ν = {self.slope:.3g}; J = "
            f"{self.objective:.4g}; update {kind}"
        )


@ignoring_float_errors
def gradient_alignment(estimator: Any, X: Any, y: Any) -> GradientAlignment:
    """Angle between ν, the direction of equilibrium propagation, and the gradient (Theorem 1).

    With A = ∂μ/∂s at the free equilibrium and C_s = ∂C/∂s (Eqs. 25, 26, Scellier et al. 2018)

        dJ/dθ = -C_s A^{-1} ∂μ/∂θ,     ν(θ) = C_s (A^T)^{-1} ∂μ/∂θ.

    Both are computed in float64 in the limit β → 0, whatever the dtype of the weights. Units of
    bounded activations that are at a bound are left out of A.

    Parameters
    ----------
    estimator : EqPropClassifier or EqPropRegressor
        Fitted. It is not changed.
    X : array-like or sparse matrix of shape (n_samples, n_features)
        Inputs, as the estimator's `fit` sees them. A few hundred rows are enough. Sparse X is made
        dense a few rows at a time, and gives the same result as dense X.
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
        If y is missing, or if X or y do not match the estimator.
    DivergenceError
        If a state or an error signal is not finite.

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
    subject.warn_about_unsettled("gradient_alignment", directions.n_unsettled)
    return alignment_of(subject, directions)


def alignment_of(subject: Subject, found: Directions) -> GradientAlignment:
    """Angles between directions that are already computed."""
    directions = zip(found.descent, found.nu, found.update, found.limit, strict=True)
    learned = [row for row in directions if row[0].size]  # an identity has no weights
    blocks = [
        BlockAlignment(
            **block._asdict(),
            cosine=cosine([nu], [descent]),
            update_cosine=None if update is None else cosine([update], [descent]),
            limit_cosine=None if limit is None else cosine([limit], [descent]),
            nu_norm=norm([nu]),
            gradient_norm=norm([descent]),
        )
        for block, (descent, nu, update, limit) in zip(
            blocks_of(subject.network), learned, strict=True
        )
    ]
    return GradientAlignment(
        overall=cosine(found.nu, found.descent),
        update=_cosine_of_trained(found.update, found.descent),
        limit=_cosine_of_trained(found.limit, found.descent),
        blocks=blocks,
        slope=-inner(found.nu, found.descent),
        objective=found.objective,
        rescaled=subject.rescales_layers,
        n_samples=subject.n_samples,
        n_unsettled=found.n_unsettled,
    )


def _cosine_of_trained(
    changes: Sequence[np.ndarray | None], descent: Sequence[np.ndarray]
) -> float:
    """Cosine over the blocks that have a change."""
    pairs = [(c, d) for c, d in zip(changes, descent, strict=True) if c is not None]
    return cosine([change for change, _ in pairs], [down for _, down in pairs])
