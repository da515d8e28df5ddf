"""What this machine offers: how many workers, and how many images at once, chosen before any work.

On a CPU running out of memory is a kill, not an exception.
"""

from __future__ import annotations

import math
import os
import platform
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import PIL
import torch
from torch import nn

from seewhy.cam.capture import LayerCall
from seewhy.cam.layers.choice import Call
from seewhy.errors import WorkError
from seewhy.version import __version__

MOST = {"cpu": 16, "cuda": 64, "mps": 32}
_LARGEST = 24 << 20  # bytes of the largest activation that pay on a CPU: more leaves the caches, and is new memory
_SHARE = 0.5  # of the free memory that all workers together may take
_PROC, _CGROUPS = Path("/proc"), Path("/sys/fs/cgroup")
_GROUPS = (  # (limit, used) of a container, as version 2 and version 1 of control groups name them
    ("memory.max", "memory.current"),
    ("memory/memory.limit_in_bytes", "memory/memory.usage_in_bytes"),
)


def cores() -> int:
    """How many processors this process may use: those it may run on, or fewer where a container has a quota."""
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, math.ceil(min(allowed, processor_quota())))


def processor_quota() -> float:
    """The processors' worth of time that the control groups around this process grant it; infinite without any."""
    return min((_quota_of(group) for group in _own_groups()), default=math.inf)


def _own_groups() -> list[Path]:
    """The folders of the control groups that this process is in, from its own to the outermost one that can be seen."""
    try:
        lines = (_PROC / "self" / "cgroup").read_text().splitlines()
    except OSError:
        return []
    folders = []
    for line in lines:
        _, kinds, path = line.split(":", 2)
        home = _CGROUPS / "cpu" if "cpu" in kinds.split(",") else _CGROUPS
        if not kinds or "cpu" in kinds.split(","):
            group = Path(path.lstrip("/"))
            folders += [home / part for part in (group, *group.parents)]
    return folders


def _quota_of(group: Path) -> float:
    """The processors granted by one group: "200000 100000" in version 2, two files in version 1."""
    try:
        quota, period = (group / "cpu.max").read_text().split()
    except (OSError, ValueError):
        try:
            quota, period = ((group / f"cpu.cfs_{name}_us").read_text().strip() for name in ("quota", "period"))
        except OSError:
            return math.inf
    return math.inf if quota in ("max", "-1") else float(quota) / float(period)


def usual_workers(device: torch.device, n_shards: int) -> int:
    """How many forked workers the command line uses: one per core on Linux for a CPU, else one."""
    if device.type != "cpu" or not sys.platform.startswith("linux"):
        return 1
    return max(1, min(cores(), n_shards, 16))


def usual_batch(
    calls: Sequence[Call], layers: Sequence[LayerCall], model: nn.Module, device: torch.device, workers: int = 1
) -> int:
    """Images at once, a power of two: as many as pay, and as fit with their gradients into half of the free memory.

    On a CPU more pay only while the largest activation is small, or smaller than the weights that each batch reads.
    """
    count = MOST.get(device.type, 16)
    weights = [parameter for parameter in model.parameters() if parameter.is_floating_point()]
    item_size = weights[0].element_size() if weights else 4
    per_image = bytes_per_image(calls, layers, item_size)
    free = free_memory(device) * _SHARE / workers
    largest = max((math.prod(call.shape) for call in calls), default=0) * item_size
    pays = max(_LARGEST, sum(weight.numel() for weight in weights) * item_size)
    while count > 1 and (per_image * count > free or (device.type == "cpu" and largest * count > pays)):
        count //= 2
    return count


def bytes_per_image(calls: Sequence[Call], layers: Sequence[LayerCall], item_size: int) -> int:
    """What one image takes at most: what is alive before the first layer, then every output and its gradient."""
    sizes = [math.prod(call.shape) * item_size for call in calls]
    names = {layer.name for layer in layers}
    first = next((place for place, call in enumerate(calls) if call.name in names), 0)
    return 3 * max(sizes, default=0) + 2 * sum(sizes[first:])


def free_memory(device: torch.device) -> float:
    """Bytes that can be taken now on the device, a container's limit respected; infinite where nothing tells."""
    if device.type == "cuda":
        return float(torch.cuda.mem_get_info(device)[0])
    limits = [math.inf]
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
        limits += [float(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable")]
    except OSError:
        if "SC_PHYS_PAGES" in os.sysconf_names:
            limits.append(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 2)
    for names in _GROUPS:
        try:
            limit, used = (float(Path("/sys/fs/cgroup", name).read_text()) for name in names)
        except (OSError, ValueError):  # no such group, or "max"
            continue
        limits.append(limit - used)
    return max(0.0, min(limits))


def out_of_memory(error: Exception, at_once: int) -> WorkError | None:
    """What to type where so many images at once were too many; None where the error is about something else."""
    if not isinstance(error, MemoryError) and "memory" not in str(error).lower():
        return None
    said = f"Out of memory with {at_once} images at once.\n  Type:  --batch-size {max(1, at_once // 4)}"
    return WorkError(said, slug="out-of-memory")


def environment(device: torch.device | str) -> dict[str, str]:
    """What a run was made with: the versions, the machine and the device."""
    return {
        "python": platform.python_version(),
        "torch": torch.__version__,
        "numpy": np.__version__,
        "pillow": PIL.__version__,
        "machine": platform.machine(),
        "device": str(device),
    }


def versions() -> dict[str, str]:
    """What must be the same on every machine that does a part of one run: versions, and the kind of processor."""
    here = environment("")
    return {"seewhy": __version__, **{name: here[name] for name in ("torch", "numpy", "pillow", "machine")}}
