"""Hardware that stands in for the simulated network of an estimator."""
