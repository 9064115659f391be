"""Errors and warnings of this package."""

from sklearn.exceptions import ConvergenceWarning


class DivergenceError(ValueError):
    """Numbers stopped being finite while a network settled or learned."""


class EqPropWarning(UserWarning):
    """Base class of all warnings of this package."""


class EqPropConvergenceWarning(EqPropWarning, ConvergenceWarning):
    """A network did not settle, training did not end well, or the data make this likely."""


class SubstrateError(RuntimeError):
    """A substrate failed, or returned states or changes that cannot be used.

    The message names the hardware and the method, such as ``connect`` or ``settle``.
    """
