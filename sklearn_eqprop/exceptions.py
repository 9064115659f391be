"""Errors of this package."""


class DivergenceError(ValueError):
    """Numbers stopped being finite while a network settled or learned."""
