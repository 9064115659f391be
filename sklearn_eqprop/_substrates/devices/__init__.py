"""Devices that stand in for the simulated network of an estimator."""
