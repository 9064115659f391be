"""How the network learns: costs, nudging, credit rules, optimisers, the training step."""
