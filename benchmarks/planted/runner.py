"""From cases to records: trained, asked by drawing, audited; each step kept, so that a killed run goes on."""

from __future__ import annotations

import multiprocessing
import time
import traceback
from collections.abc import Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import torch
from benchmarks.planted.audits import audited
from benchmarks.planted.cache import (
    Cache,
    audit_key,
    case_key,
    network_key,
    oracle_key,
    read,
    thresholds_key,
    write_record,
)
from benchmarks.planted.cases import Case
from benchmarks.planted.coverage import drawn_effects
from benchmarks.planted.oracle import effects
from benchmarks.planted.outside import effects_outside
from benchmarks.planted.published import drawn_of, key_in, published
from benchmarks.planted.scores import Score, score_of

STAGES = ("make", "oracle", "audit", "cover", "score")
COVERED = 3  # of so many frozen networks one has the effects of all factors drawn, too: that takes half an audit's time


@dataclass(frozen=True)
class Work:
    """What is done with each case: which stages, and where everything is kept."""

    folder: Path
    stages: tuple[str, ...] = STAGES
    covered: int = COVERED
    results: Path | None = None  # where the records of audits that were made elsewhere are kept

    def __call__(self, case: Case) -> str:
        """One case through the stages that it has not been through; in a word what was done."""
        told = {} if self.results is None else published(self.results).get(key_in(case), {})
        is_covered = "cover" in self.stages and self.is_covered(case) and drawn_of(told, case) is None
        if told and not is_covered:
            return "published"
        torch.set_num_threads(1)
        kept, done = Cache(self.folder), []
        start = time.perf_counter()
        if "make" in self.stages and not kept.has_network(case.network):
            kept.network(case.network)
            done.append("trained")
        if not told and "oracle" in self.stages and ask_oracle(kept, case):
            done.append("drawn")
        if not told and "audit" in self.stages and not kept.audit_file(case).exists():
            module, _ = kept.network(case.network)
            self._audit(case, module, kept)
            done.append("audited")
        if is_covered and not kept.coverage_file(case).exists():
            module, _ = kept.network(case.network)
            write_record(kept.coverage_file(case), drawn_effects(case, module))
            done.append("covered")
        return f"{', '.join(done) or 'kept'}, {time.perf_counter() - start:.0f} s"

    def is_covered(self, case: Case) -> bool:
        """Whether the effects of all factors are drawn, too; of two classes only."""
        is_asked = case.half == "frozen" or self.covered == 1
        return is_asked and case.recipe.classes == 2 and int(network_key(case.network), 16) % self.covered == 0

    def _audit(self, case: Case, module: torch.nn.Module, kept: Cache) -> None:
        file = kept.audit_file(case)
        record = audited(case, module, file.with_suffix(".png"), kept.trials_folder(case))
        keys = {"audit_key": audit_key(), "thresholds": thresholds_key(), "case_key": case_key(case)}
        write_record(file, {**record, **keys})


def ask_oracle(kept: Cache, case: Case) -> bool:
    """Keep what is true of a case where that is not kept; whether it was asked."""
    files = kept.oracle_file(case.network), kept.outside_file(case)
    if all(file.exists() for file in files):
        return False
    module, _ = kept.network(case.network)
    if not files[0].exists():
        key = {"network_key": network_key(case.network)}
        write_record(files[0], {**effects(case.network, module), **key})
    if not files[1].exists():
        write_record(files[1], effects_outside(case, module))
    return True


def run(cases: Sequence[Case], work: Work, workers: int, minutes: float | None) -> list[str]:
    """All cases through the stages; which failed, with the reason. After so many minutes none is begun any more."""
    until = time.monotonic() + 60 * minutes if minutes is not None else float("inf")
    failed: list[str] = []
    if workers == 1:
        for number, case in enumerate(cases, 1):
            if time.monotonic() > until:
                break
            _told(number, len(cases), case, lambda case=case: work(case), failed)
        return failed
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(workers, mp_context=context) as pool:
        waiting, running, number = iter(cases), dict[Future[str], Case](), 0
        while True:
            free = workers - len(running) if time.monotonic() < until else 0
            running |= {pool.submit(work, case): case for case in islice(waiting, free)}
            if not running:
                return failed
            for future in wait(running, return_when=FIRST_COMPLETED).done:
                number += 1
                _told(number, len(cases), running.pop(future), future.result, failed)


def _told(number: int, total: int, case: Case, result: object, failed: list[str]) -> None:
    """One line about a case; one that fails is told and the others go on."""
    try:
        words = result()  # type: ignore[operator]
    except Exception:  # noqa: BLE001
        words = f"FAILED\n{traceback.format_exc()}"
        failed.append(f"{case.name}: {traceback.format_exc().strip().splitlines()[-1]}")
    print(f"{number}/{total} {case.name}: {words}", flush=True)


def scores_in(folder: Path, cases: Sequence[Case], without: str = "", results: Path | None = None) -> list[Score]:
    """The scores of all cases that today's code has audited with today's thresholds; of others nothing is shown.

    Those that the folder does not hold are taken from the records that were published in RESULTS.
    """
    kept, found = Cache(folder), []
    elsewhere = {} if results is None else published(results)
    for case in cases:
        files = kept.audit_file(case), kept.oracle_file(case.network), kept.outside_file(case)
        record, oracle, outside = map(read, files)
        told = elsewhere.get(key_in(case), {})
        drawn = read(kept.coverage_file(case)) or drawn_of(told, case)
        if record is None or oracle is None or outside is None:
            if told:
                found.append(score_of(case, told["record"], told["oracle"], told["outside"], drawn, without))
            continue
        refuse_others(record, case)
        if oracle["network_key"] != network_key(case.network):
            raise ValueError(f"{case.name}: {oracle_key(case.network)} is the oracle of another network")
        found.append(score_of(case, record, oracle, outside, drawn, without))
    return found


def refuse_others(record: dict[str, object], case: Case) -> None:
    """Raise ValueError for a record of other thresholds, other code or another case."""
    now = {"audit_key": audit_key(), "thresholds": thresholds_key(), "case_key": case_key(case)}
    other = [f"{name} {record.get(name)}, now {key}" for name, key in now.items() if record.get(name) != key]
    if other:
        raise ValueError(f"{case.name} was scored by something else ({'; '.join(other)}): audit it again")
