"""Pictures of the results of the diagnostics. Only drawing imports matplotlib."""
