"""What comes after a layer, as a function of its activation."""
