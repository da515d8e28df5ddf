"""What is said of options that are taken and do nothing, and of what is done in another way than asked."""

from __future__ import annotations

import sys
import warnings
from pathlib import Path

_HERE = str(Path(__file__).parent)


def warn(message: str) -> None:
    """A UserWarning that points at the user's own line."""
    frame, depth = sys._getframe(1), 2
    while frame.f_back is not None and frame.f_code.co_filename.startswith(_HERE):
        frame, depth = frame.f_back, depth + 1
    warnings.warn(message, UserWarning, stacklevel=depth)


def device_notice(use_cuda: object, device: object, at: object) -> None:
    """Say that a network is used where it lies, whatever `use_cuda` and `device` ask for."""
    if use_cuda is not None:
        warn(
            f"use_cuda={use_cuda} is taken and does nothing (upstream dropped it): maps are made where the network is, "
            f"here on {at}.  To move it:  model.cuda()"
        )
    if device is not None and str(device) != str(at):
        warn(
            f"device={str(device)!r} is taken and does nothing: maps are made where the network is, here on {at}.  "
            f"To move it:  model.to({str(device)!r})"
        )
