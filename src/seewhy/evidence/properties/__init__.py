"""Global properties of images: measured, given, taken away."""
