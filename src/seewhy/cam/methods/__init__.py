"""How activations and gradients become maps."""
