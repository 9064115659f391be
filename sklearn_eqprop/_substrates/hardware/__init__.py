"""Hardware that an estimator trains instead of the simulated network."""
