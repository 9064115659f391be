"""One call of fit or partial_fit."""
