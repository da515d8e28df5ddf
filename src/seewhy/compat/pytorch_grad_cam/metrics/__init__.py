"""The names of pytorch_grad_cam.metrics."""
