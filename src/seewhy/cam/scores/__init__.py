"""What is explained: from outputs to one number for each image."""
