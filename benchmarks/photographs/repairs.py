"""What was planted in photographs is taken out again: repair, and judge by planting it anew.

python -m benchmarks.photographs.repairs --limit 9        goes on where it was stopped
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from benchmarks.photographs.cases import Case, Photographs, cases, splits_of
from benchmarks.photographs.repairs_page import section_of, write_docs
from benchmarks.photographs.work import AUDITS, effect_of, network_of, written
from benchmarks.planted.cache import audit_key, digest_of, key_of, read, write_record
from benchmarks.planted.networks import inputs_of, predicted
from torch import nn

import seewhy
from seewhy.evidence.results.result import Audit
from seewhy.learn.repair.arms import PLAIN
from seewhy.learn.repair.asked import RepairOptions, find
from seewhy.learn.repair.bench import Bench
from seewhy.learn.repair.repair_folder import RepairFolder
from seewhy.learn.train.fine_tune import fine_tuned
from seewhy.report.next_commands import repaired_together

HERE = Path(__file__).parent
CORE = "a face detector"  # the audit whose shortcuts are repaired
CODE = (*(f"benchmarks/photographs/{name}.py" for name in ("cases", "work", "repairs")), "src/seewhy/learn")

Record = dict[str, Any]


def record_of(case: Case, data: Path, cache: Path, code: str) -> Record:
    """The record of a case, from the cache or made now."""
    file = _file(case, cache, code)
    if (kept := read(file)) is not None:
        return kept
    torch.set_num_threads(1)
    classes, photographs = splits_of(case, data)
    module = network_of(case, photographs["train"], len(classes), cache)
    with tempfile.TemporaryDirectory() as home:
        classifier = written(Path(home), case, module, classes, photographs)
        audit = seewhy.audit(
            classifier, home, recipients=150, donors=150, progress=False, **AUDITS[case.data][CORE]
        )  # fmt: skip
        record = {"case": case.name, **_repaired(case, audit, module, photographs["valid"])}
    write_record(file, record)
    return record


def _repaired(case: Case, audit: Audit, module: nn.Module, valid: Photographs) -> Record:
    """The repair of the shortcuts that the audit tells, as it advises, and each network by what is planted anew."""
    told = [vars(finding) for finding in audit.findings if finding.numbers.get("probability")]
    shortcuts = [finding for finding in told if "shortcut" in finding["claims"]]
    if not shortcuts:
        return {"factor": None, "networks": {"before": judged(case, module, valid)}}
    start = time.process_time()
    asked = find(audit.design, told, repaired_together(shortcuts) or [shortcuts[0]["factor"]])
    bench = Bench(asked, RepairOptions(), RepairFolder(None, audit.design, {}), lambda done, total: None)
    repaired = bench.repair()
    seconds = time.process_time() - start
    networks = {"before": module, "plain": _plain(bench, repaired.way), "repaired": repaired.network}
    return {
        "factor": ", ".join(asked.factors),
        "way": repaired.way,
        "proved": repaired.is_proved,
        "reasons": list(repaired.reasons),
        "margins": {name: vars(margin) for name, margin in repaired.margins.items()},
        "cpu_s": seconds,
        "networks": {name: judged(case, network, valid) for name, network in networks.items() if network is not None},
    }


def _plain(bench: Bench, name: str) -> nn.Module:
    """Plain fine-tuning, as often over the images as the way that was chosen."""
    job = bench.job
    for way in bench.ways:
        if way.name == name and PLAIN in way.controls:
            return way.controls[PLAIN](0)
    return fine_tuned(job.network, job.sample, job.tuning, memory_format=job.memory_format)


def judged(case: Case, network: nn.Module, valid: Photographs) -> Record:
    """A network's effect of what is planted, by planting it; its accuracy as planted, and where chance plants it.

    `worst` is the accuracy of the worst of the four groups of class and plant, of the latter.
    """
    chosen = np.random.default_rng((case.seed, 7)).random(len(valid.labels)) < 0.5
    fair = Photographs(valid.pixels, valid.labels, chosen)
    like, right = (_right(network, each.planted(case.kind), valid) for each in (valid, fair))
    groups = [right[(valid.labels == label) & (chosen == there)] for label in (0, 1) for there in (False, True)]
    return {
        "effect": effect_of(case, network, valid),
        "like": float(like.mean()),
        "fair": float(right.mean()),
        "worst": min(float(group.mean()) for group in groups if len(group)),
    }


def _right(network: nn.Module, pixels: np.ndarray, valid: Photographs) -> np.ndarray:
    answers = torch.cat(predicted(network, inputs_of(pixels))).argmax(dim=1).numpy()
    return np.asarray(answers == valid.labels)


def code_key() -> str:
    """The hash of all code that decides a record."""
    return key_of(audit_key(), digest_of(CODE))


def planned() -> list[Case]:
    """The trainings with something planted."""
    return [case for case in cases() if case.kind]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=HERE.parents[2] / "shared" / "data")
    parser.add_argument("--cache", type=Path, default=Path("~/.cache/seewhy/planted"))
    parser.add_argument("--first", type=int, default=0, help="leave out so many trainings")
    parser.add_argument("--limit", type=int, help="then take the first so many")
    parser.add_argument("--docs", type=Path, help="the page whose section is written, of all that are kept")
    asked = parser.parse_args()
    cache, code = asked.cache.expanduser(), code_key()
    chosen = planned()[asked.first :][: asked.limit]
    for number, case in enumerate(chosen, 1):
        told = record_of(case, asked.data.resolve(), cache, code)
        print(f"{number}/{len(chosen)} {case.name}: {told.get('way')}, {told.get('proved')}", flush=True)
    if asked.docs is not None:
        kept = [(case, read(_file(case, cache, code))) for case in planned()]
        records = [(case, record) for case, record in kept if record is not None]
        write_docs(section_of(records, len(planned()), code), asked.docs)


def _file(case: Case, cache: Path, code: str) -> Path:
    return cache / "photographs" / "repairs" / code / f"{case.name}.json"


if __name__ == "__main__":
    main()
