"""What a network learns, epoch by epoch."""
