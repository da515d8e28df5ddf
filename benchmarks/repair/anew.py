"""What a repair could reach: the same network trained anew on as many faces whose kind goes with no label."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from benchmarks.planted.cache import Cache, key_of, network_key, read, write_record
from benchmarks.repair.cases import Case
from benchmarks.repair.drawn import drawings_of, seen


def seen_anew(case: Case, folder: Path, *, make: bool = False) -> dict[str, Any] | None:
    """What drawing says of that network, on the very faces that the repaired one is asked about; kept in the folder.

    None where it is not kept, and not to be made.
    """
    file = folder / "anew" / f"{key_of(network_key(case.network))}.json"
    if (kept := read(file)) is not None or not make:
        return kept
    torch.set_num_threads(1)
    recipe = replace(case.network.recipe, scenario="clean")
    module, _ = Cache(folder).network(replace(case.network, recipe=recipe))
    told = seen(drawings_of(case.network), module)
    write_record(file, told)
    return told
