"""What is kept between runs: each thing under a hash of what made it, complete or absent."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import Any

import torch
from benchmarks.planted.cases import Case
from benchmarks.planted.networks import Network, built, trained
from benchmarks.planted.renderers import RENDERERS
from benchmarks.stamps import code_digest
from torch import nn

from seewhy.evidence.thresholds import AUDIT_THRESHOLDS

ROOT = Path(__file__).parents[2]
TRAINER = ("benchmarks/planted/networks.py",)
ORACLE = ("benchmarks/planted/oracle.py",)
COVERAGE = ("benchmarks/planted/coverage.py",)
OUTSIDE = ("benchmarks/planted/outside.py", "benchmarks/planted/cores.py")
EVIDENCE = (
    "audit.py", "thresholds.py", "checks", "factors", "findings", "inference", "properties", "results", "trials",
)  # fmt: skip
AUDIT = (
    *ORACLE,
    "benchmarks/planted/audits.py", "benchmarks/planted/cores.py", "src/seewhy/data", "src/seewhy/estimates.py",
    *(f"src/seewhy/evidence/{part}" for part in EVIDENCE),
)  # fmt: skip
WRITING = tuple(f"src/seewhy/evidence/results/{name}.py" for name in ("chart", "folder", "pictures"))  # decides nothing

Record = dict[str, Any]


@cache
def digest_of(parts: tuple[str, ...]) -> str:
    """A hash of what some code does."""
    return code_digest(parts, ROOT, but=WRITING)


def key_of(*what: object) -> str:
    """A short hash of plain values."""
    return hashlib.sha256(json.dumps(what, sort_keys=True, default=str).encode()).hexdigest()[:16]


def thresholds_key() -> str:
    """The hash of the audit's thresholds, to be stored with what they decided."""
    return key_of(AUDIT_THRESHOLDS)


def audit_key() -> str:
    """The hash of the code that audits."""
    return digest_of(AUDIT)


def network_key(network: Network) -> str:
    """The hash of a network's recipe and of the code that draws its pictures and trains it."""
    return key_of(asdict(network), digest_of(RENDERERS[network.recipe.renderer].modules), digest_of(TRAINER))


def oracle_key(network: Network) -> str:
    """The hash of what decides a network's true effects."""
    return key_of(network_key(network), digest_of(ORACLE))


def case_key(case: Case) -> str:
    """The hash of what decides a case, but for the code that audits."""
    return key_of(network_key(case.network), case.core, case.part)


def outside_key(case: Case) -> str:
    """The hash of what decides a network's true effects outside of the core as it is named."""
    return key_of(oracle_key(case.network), case_key(case), digest_of(OUTSIDE))


def coverage_key(case: Case) -> str:
    """The hash of what decides the drawn effects of a case's factors."""
    return key_of(case_key(case), audit_key(), digest_of(COVERAGE))


@dataclass(frozen=True)
class Cache:
    """A folder: networks/ (weights, how training went), oracles/, trials/, audits/ by their code."""

    folder: Path

    def network(self, network: Network) -> tuple[nn.Module, Record]:
        """The trained network, from the folder or made now."""
        at = self.folder / "networks" / network_key(network)
        if (told := read(at.with_suffix(".json"))) is not None:
            module = built(network)
            module.load_state_dict(torch.load(at.with_suffix(".pt"), weights_only=True))
            return module.eval(), told
        module, told = trained(network)
        write(at.with_suffix(".pt"), lambda path: torch.save(module.state_dict(), path))
        write_record(at.with_suffix(".json"), {**told, "network": asdict(network)})
        return module, told

    def has_network(self, network: Network) -> bool:
        return (self.folder / "networks" / f"{network_key(network)}.json").exists()

    def oracle_file(self, network: Network) -> Path:
        return self.folder / "oracles" / f"{oracle_key(network)}.json"

    def outside_file(self, case: Case) -> Path:
        return self.folder / "oracles" / f"{outside_key(case)}.json"

    def coverage_file(self, case: Case) -> Path:
        return self.folder / "coverage" / f"{coverage_key(case)}.json"

    def audit_file(self, case: Case) -> Path:
        """Of the audit's code and thresholds of today: other code has other files."""
        return self.folder / "audits" / audit_key() / thresholds_key() / f"{case_key(case)}.json"

    def trials_folder(self, case: Case) -> Path:
        """Of all audits of a case, whatever is concluded from them."""
        return self.folder / "trials" / case_key(case)


def read(file: Path) -> Record | None:
    """A record, or None where there is none."""
    try:
        found: Record = json.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    return found


def write_record(file: Path, record: Mapping[str, Any]) -> None:
    """A record as a file that is either complete or absent."""
    text = json.dumps(record, indent=1, default=float)
    write(file, lambda path: path.write_text(text + "\n", encoding="utf-8"))


def write(file: Path, fill: Callable[[Path], Any]) -> None:
    """A file that `fill` writes, either complete or absent."""
    file.parent.mkdir(parents=True, exist_ok=True)
    part = file.with_name(f".{file.name}.{os.getpid()}.part")
    fill(part)
    part.replace(file)
