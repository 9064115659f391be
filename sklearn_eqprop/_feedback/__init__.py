"""How feedback weights learn."""
