"""The arrays of a fitted estimator, and the equilibria of its network."""
