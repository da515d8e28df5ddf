"""Trials that outlive changes of what is concluded from them: each job's scores under a hash of what decides them."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from unittest import mock

import numpy as np
from benchmarks.stamps import code_digest

from seewhy.evidence import audit as audit_module
from seewhy.evidence.audit import run_jobs
from seewhy.evidence.results.result import Baseline
from seewhy.evidence.trials.design import AuditDesign
from seewhy.evidence.trials.trial import Job, Scores, Trials, trials_of_job

ROOT = Path(__file__).parents[2]
EDITING = (
    "benchmarks/planted/audits.py", "benchmarks/planted/cores.py", "src/seewhy/evidence/factors",
    "src/seewhy/evidence/properties", "src/seewhy/evidence/trials/scorer.py", "src/seewhy/evidence/trials/sample.py",
    "src/seewhy/evidence/trials/trial.py", "src/seewhy/data/pictures/canvas.py",
)  # fmt: skip


@contextmanager
def trials_kept(folder: Path) -> Iterator[list[Job]]:
    """An audit within takes from FOLDER the scores of jobs that were made before, and keeps those of others.

    Gives the jobs that it did not have to make, as they come.
    """
    taken: list[Job] = []

    def kept_or_run(
        design: AuditDesign, indices: Sequence[int], workers: int, before: Mapping[str, Baseline]
    ) -> Iterator[Trials]:
        for index in indices:
            job = design.schedule.jobs[index]
            file = folder / f"{_key_of(job)}.npz"
            if file.exists():
                taken.append(job)
                yield trials_of_job(job, design.samples[job.split], before[job.split].scores, _read(file))
                continue
            (trials,) = run_jobs(design, [index], workers, before)
            _write(file, trials.after)
            yield trials

    folder.mkdir(parents=True, exist_ok=True)
    with mock.patch.object(audit_module, "run_jobs", kept_or_run):
        yield taken


def _key_of(job: Job) -> str:
    held = job.held.name if job.held is not None else ""
    parts = [repr(job.key), held, str(job.seed), _editing_code()]
    arrays = [job.pairs] if job.control is None else [job.pairs, job.control.numpy()]
    digest = hashlib.sha256("\n".join(parts).encode())
    for array in arrays:
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()[:20]


@cache
def _editing_code() -> str:
    return code_digest(EDITING, ROOT)


def _read(file: Path) -> Scores:
    with np.load(file) as stored:
        return Scores(
            stored["margins"], stored["probabilities"], stored["predictions"].astype(np.int64), bool(stored["is_own"])
        )


def _write(file: Path, scores: Scores) -> None:
    part = file.with_suffix(".part")
    with part.open("wb") as stream:
        np.savez(
            stream, margins=scores.margins, probabilities=scores.probabilities,
            predictions=scores.predictions.astype(np.int16), is_own=scores.is_own_class,
        )  # fmt: skip
    part.replace(file)
