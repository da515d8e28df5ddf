"""What comes in: images, labels, networks and their weights."""
