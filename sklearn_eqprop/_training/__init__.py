"""Optimisers, the update, the epoch."""
