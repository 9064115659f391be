"""X, y and sample weights: checks, statistics, scales, and rows held out."""
