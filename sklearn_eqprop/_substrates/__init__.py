"""What can be trained: the simulated network, and whatever stands in for it."""
