"""What can be exchanged, laid over or taken away, and where in the image."""
