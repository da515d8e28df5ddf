"""torchvision's ResNet-50 with pytorch-grad-cam, one image after the other; the clock is that of peer_tutorial.py."""

from __future__ import annotations

from peer_tutorial import explain  # declares the shim before torchvision is imported
from resnet50 import models, read

__all__ = ["read"]

if __name__ == "__main__":
    net = models.resnet50(weights=None)
    explain(net, [net.layer4[-1]], read)
