"""Which parameter values make sense, alone and together."""
