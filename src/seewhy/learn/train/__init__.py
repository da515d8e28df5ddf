"""Training from the start, and fine-tuning."""
