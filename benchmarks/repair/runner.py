"""From a case to its record: trained, drawn, audited, repaired, and what stands beside it; each under a hash."""

from __future__ import annotations

import shutil
import tempfile
import time
import traceback
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import torch
from benchmarks.planted.audits import brief
from benchmarks.planted.cache import ROOT, Cache, audit_key, key_of, network_key, read, thresholds_key, write_record
from benchmarks.planted.kept_trials import trials_kept
from benchmarks.planted.networks import Network
from benchmarks.repair.anew import seen_anew
from benchmarks.repair.cases import Case
from benchmarks.repair.drawn import Drawings, drawings_of, seen
from benchmarks.repair.pictures import Pictures, Target, audited, target_of, written
from benchmarks.repair.treatments import treatments
from benchmarks.stamps import code_digest, stamp
from torch import nn

from seewhy.errors import SeewhyError
from seewhy.evidence.results.result import Audit
from seewhy.learn.repair.asked import RepairOptions, find
from seewhy.learn.repair.bench import Bench
from seewhy.learn.repair.proof import remaining
from seewhy.learn.repair.readings import readings_of
from seewhy.learn.repair.repair_folder import RepairFolder
from seewhy.learn.repair.repaired import Repair

MODULES = ("cases", "drawn", "pictures", "runner", "treatments", "without_groups")
CODE = (
    *(f"benchmarks/repair/{name}.py" for name in MODULES),
    "src/seewhy/learn",
)  # fmt: skip
REPAIRED, BEFORE = "repair", "before"

Record = dict[str, Any]


@cache
def repair_code() -> str:
    """The hash of the code that repairs, and of what is compared with it."""
    return code_digest(CODE, ROOT)


def code_key() -> str:
    """The hash of all code that decides a record beside its network."""
    return key_of(audit_key(), thresholds_key(), repair_code())


@dataclass
class Clock:
    """Seconds by part, and those of the processor, which other work on the machine changes little."""

    parts: dict[str, float] = field(default_factory=dict)
    cpu: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def part(self, name: str) -> Iterator[None]:
        start, started = time.perf_counter(), time.process_time()
        try:
            yield
        finally:
            self.parts[name] = self.parts.get(name, 0.0) + time.perf_counter() - start
            self.cpu[name] = self.cpu.get(name, 0.0) + time.process_time() - started


@dataclass(frozen=True)
class Work:
    """What is done with each case, and where it is kept: FOLDER, and networks of `trained`, which is only read."""

    folder: Path
    trained: Path | None = None
    options: RepairOptions = field(default_factory=RepairOptions)

    def key(self, case: Case) -> str:
        """The hash of what decides a record beside the code: the network, its pictures, options."""
        return key_of(network_key(case.network), asdict(case), self.options.stored())

    def file(self, case: Case) -> Path:
        """Of the audit's and the repair's code of today: other code has other files."""
        return self.folder / "repairs" / code_key() / f"{self.key(case)}.json"

    def records(self, cases: Sequence[Case], *, earlier: bool = False) -> list[Record]:
        """Those of all cases that today's code has repaired; with `earlier` else the newest of other code."""
        found = [read(self.file(case)) or (self._earlier(case) if earlier else None) for case in cases]
        return [
            record | {"anew": seen_anew(case, self.folder)}
            for case, record in zip(cases, found, strict=True)
            if record is not None
        ]

    def _earlier(self, case: Case) -> Record | None:
        files = (self.folder / "repairs").glob(f"*/{self.key(case)}.json")
        newest = max(files, key=lambda file: file.stat().st_mtime, default=None)
        return None if newest is None else read(newest)

    def __call__(self, case: Case) -> str:
        """One case, unless it is kept; in a word what came out."""
        seen_anew(case, self.folder, make=True)
        if (kept := read(self.file(case))) is not None:
            return f"kept: {outcome(kept)}"
        torch.set_num_threads(1)
        going_on = self.folder / "begun" / key_of(self.key(case), code_key())
        record = self._record(case, going_on)
        write_record(self.file(case), record)
        shutil.rmtree(going_on, ignore_errors=True)
        return f"{outcome(record)}; {sum(record['cpu'].values()):.0f} s of the processor"

    def _record(self, case: Case, home: Path) -> Record:
        clock = Clock()
        with clock.part("train"):
            module, training = self._network(case.network)
        with clock.part("draw"):
            drawings = drawings_of(case.network)
            before = seen(drawings, module)
        told = {"case": case.name, "planting": case.planting, "kinds": list(case.planted.kinds), "training": training}
        told |= {"hopeless": case.planted.is_hopeless, "threads": torch.get_num_threads(), "drawn": before}
        told |= {"code": code_key(), "commit": stamp(("learn",))["commit"]}
        with tempfile.TemporaryDirectory() as folder, trials_kept(home / "trials") as taken:
            with clock.part("audit"):
                pictures = written(case, Path(folder))
                audit = audited(case, module, pictures)
            told["findings"] = [_short(brief(finding)) for finding in audit.findings]
            target = target_of(audit.findings, case.planted.kinds)
            found = {} if target is None else self._repaired(audit, pictures, target, drawings, home, clock)
        told |= {
            "target": None if target is None else asdict(target),
            **found,
            "seconds": clock.parts,
            "cpu": clock.cpu,
        }
        return told | {"was_begun": bool(taken)}  # by a run that was stopped: its seconds are not all

    def _network(self, network: Network) -> tuple[nn.Module, Record]:
        if self.trained is not None and (there := Cache(self.trained)).has_network(network):
            return there.network(network)
        return Cache(self.folder).network(network)

    def _repaired(
        self, audit: Audit, pictures: Pictures, target: Target, drawings: Drawings, home: Path, clock: Clock
    ) -> Record:
        asked = find(audit.design, [vars(one) for one in audit.findings], target.factor, anyway=True)
        kept = RepairFolder(home / "repair", audit.design, {"factor": asked.factor, **self.options.stored()})
        with kept.held():
            kept.begin()
            with clock.part("repair"):
                bench = Bench(asked, self.options, kept, lambda done, total: None)
                repaired = bench.repair()
            rows = rows_of(bench, repaired, pictures, target, drawings, clock, home / "rows")
        return {"repair": in_short(repaired), "rows": rows}


def rows_of(
    bench: Bench, repaired: Repair, pictures: Pictures, target: Target, drawings: Drawings, clock: Clock, kept: Path
) -> dict[str, Record]:
    """By treatment what is left of the effect in its first network: on the half that proves, and by drawing.

    Each is kept in a folder, so that a run that was stopped goes on behind it.
    """
    makers = {BEFORE: lambda _: None, REPAIRED: lambda _: repaired.network}
    makers |= {way.name: lambda seed, way=way: _kept(bench, way.name, way.make, seed) for way in bench.ways}
    makers |= treatments(bench, pictures, target.kind)
    if repaired.network is None:
        del makers[REPAIRED]
    rows: dict[str, Record] = {}
    for name, make in makers.items():
        file = kept / f"{key_of(name)}.json"
        rows[name] = read(file) or _row(bench, make, drawings, clock)
        write_record(file, rows[name])
    rows |= {name: {"error": why} for name, why in repaired.refused.items()}
    return rows


def _row(bench: Bench, make: Any, drawings: Drawings, clock: Clock) -> Record:
    start = time.process_time()
    try:
        with clock.part("beside"):
            network = make(0)
    except SeewhyError as error:
        return {"error": str(error.args[0]).splitlines()[0]}
    seconds = time.process_time() - start
    with clock.part("judge"):
        return {"cpu": seconds, **_judged(bench, network, drawings)}


def _kept(bench: Bench, name: str, make: Any, seed: int) -> nn.Module:
    return bench.kept.network(f"{name}-{seed}", bench.network, lambda: make(seed))


def _judged(bench: Bench, network: nn.Module | None, drawings: Drawings) -> Record:
    """A network on the images that prove, as the audit estimates, and on faces that are drawn anew."""
    factor = bench.factor.name
    reading = readings_of(bench.prover.only(factor), network)[factor]
    effect = reading.effect(bench.contrast)
    told = {"value": remaining([reading], bench.contrast), "low": effect.low, "high": effect.high}
    drawn = seen(drawings, bench.network if network is None else network)
    return {"audit": told, "drawn": drawn, "accuracy": reading.accuracy.value, "exchanged": reading.exchanged.value}


def in_short(repaired: Repair) -> Record:
    """What is kept of a repair."""
    summary = repaired.summary()
    names = (
        "factor",
        "way",
        "proved",
        "reasons",
        "margins",
        "reduction",
        "cost",
        "tried",
        "refused",
        "seeds",
        "others",
    )
    arms = {name: {"mean": arm.mean, "effects": list(arm.effects)} for name, arm in repaired.arms.items()}
    after = repaired.arms.get("repaired")
    exchanged = None if after is None else vars(after.exchanged)
    return {
        **{name: summary[name] for name in names}, "closest": repaired.closest, "arms": arms, "exchanged": exchanged,
    }  # fmt: skip


def outcome(record: Mapping[str, Any]) -> str:
    """A record in a word."""
    if record["target"] is None:
        return "no finding names what is planted"
    repaired = record["repair"]
    return f"{record['target']['factor']} by {repaired['way'] or 'no way'}: {_word(repaired)}"


def _word(repaired: Mapping[str, Any]) -> str:
    return "proved" if repaired["proved"] else f"failed: {repaired['reasons'][0]}"


def _short(row: Record) -> Record:
    return {name: row[name] for name in ("factor", "level", "claims", "value", "members")}


def run(cases: Sequence[Case], work: Work, minutes: float | None) -> list[str]:
    """All cases; which failed, with the reason. After so many minutes none is begun any more."""
    until = time.monotonic() + 60 * minutes if minutes is not None else float("inf")
    failed: list[str] = []
    for number, case in enumerate(cases, 1):
        if time.monotonic() > until:
            break
        try:
            words = work(case)
        except Exception:  # noqa: BLE001  # one that fails is told, and the others go on
            words = f"FAILED\n{traceback.format_exc()}"
            failed.append(f"{case.name}: {traceback.format_exc().strip().splitlines()[-1]}")
        print(f"{number}/{len(cases)} {case.name}: {words}", flush=True)
    return failed
