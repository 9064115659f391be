"""Substrates: the simulated network, and the interface for systems that replace it."""
