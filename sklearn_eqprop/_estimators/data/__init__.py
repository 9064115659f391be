"""X, y and sample weights: checked, scaled and divided."""
