"""An audit's run folder: what decides its result, the trials of finished jobs, and what is written at the end."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from seewhy.errors import StoreError
from seewhy.evidence.results.identity import AuditIdentity, identity_of
from seewhy.evidence.results.map_shares import map_share_rows
from seewhy.evidence.results.pictures import draw_examples
from seewhy.evidence.results.result import Audit
from seewhy.evidence.results.tables import (
    class_columns,
    donor_effect_columns,
    image_effect_columns,
    outcomes_of,
    write_map_tables,
)
from seewhy.evidence.trials.budget import as_budget
from seewhy.evidence.trials.contrast import MOST_CLASSES
from seewhy.evidence.trials.design import AuditDesign
from seewhy.evidence.trials.places import Places
from seewhy.evidence.trials.trial import NO_DONOR, UNDECIDED, Job, Scores, Trials
from seewhy.run.folder import RunFolder
from seewhy.run.identity import (
    check_unchanged,
)
from seewhy.run.machine import environment
from seewhy.store import checksums, manifest
from seewhy.store.schema import DONOR_EFFECTS, IMAGE_EFFECTS, MAP_SHARES, RECORDS, TRIALS
from seewhy.store.tables import Column, is_part, merge, part, read_columns, record_row, write_columns, write_rows

FINDINGS, PLACES = "findings.json", "places.json"


@dataclass(frozen=True)
class AuditFolder:
    """The folder of one audit."""

    folder: Path
    design: AuditDesign
    budget: int | str | None = None

    @property
    def run(self) -> RunFolder:
        """The run folder that it is."""
        return RunFolder(self.folder, "audit")

    def of(self, design: AuditDesign) -> AuditFolder:
        """The same folder for a design whose jobs are settled."""
        return replace(self, design=design)

    def as_begun(self) -> AuditDesign:
        """The design with the batch of the run in the folder, unless another one was asked for."""
        return replace(self.design, plan=self.run.as_begun(self.design.plan))

    def begun(self) -> int | None:
        """The number of trials that an earlier try settled on, so that a budget of minutes is settled once."""
        stored = self.run.stored()
        n_trials = None if stored is None else stored["identity"].get("trials")
        return None if n_trials is None else int(n_trials)

    @property
    def identity(self) -> AuditIdentity:
        """Everything that decides the result."""
        return AuditIdentity(
            {**identity_of(self.design), "budget": as_budget(self.budget), "trials": self.design.budget}
        )

    def begin(self) -> None:
        """Mark the folder as this audit's. Raises StoreError where it is another's."""
        self.run.open(self.identity)

    def places(self) -> Places | None:
        """What an earlier try found in a search for places."""
        path = self.folder / PLACES
        return Places.from_stored(manifest.read_json(path)) if path.is_file() else None

    def keep_places(self, places: Places) -> Places:
        """Write what a search for places found, so that what goes on goes on with the same."""
        with self.run.watched(self._token) as (opened, _):
            manifest.write_json(opened / PLACES, places.as_stored())
        return places

    def missing(self, indices: Sequence[int]) -> list[int]:
        """Which of these jobs are not finished."""
        whole = (self.folder / "trials.parquet").exists()
        return [index for index in indices if not whole and not self._has(index)]

    def part(self, index: int) -> Path:
        """Where the trials of a job wait until all are there."""
        return part(self.folder, "trials", index)

    def _has(self, index: int) -> bool:
        return is_part(self.part(index), self._token)

    @cached_property
    def _token(self) -> str:
        """What tells this run's parts from another's."""
        return manifest.token_of(self.folder)

    def stored(self) -> dict[str, Any] | None:
        """The summary of this very audit, where the folder holds it complete."""
        stored = self.run.stored()
        if stored is None or stored["status"] != "complete" or not self.identity.is_that_of(stored["identity"]):
            return None
        checksums.check(self.folder, stored)
        self.run.remove_parts()
        return manifest.read_json(self.folder / FINDINGS)

    def kept(self, new_trials: Iterator[Trials], indices: Sequence[int]) -> Iterator[Trials]:
        """The trials, each job's written as soon as it is finished."""
        for index, trials in zip(indices, new_trials, strict=True):
            with self.run.watched(self._token) as (opened, _):
                write_columns(part(opened, "trials", index), self._rows(trials), TRIALS, self._token)
            yield trials

    def read(self, index: int) -> Trials | None:
        """The trials of a job that an earlier try finished."""
        job = self.design.schedule.jobs[index]
        if self._whole is not None:
            starts = np.cumsum([0, *(one.n_trials for one in self.design.schedule.jobs)])
            rows = slice(int(starts[index]), int(starts[index + 1]))
            return self._trials(job, {name: column[rows] for name, column in self._whole.items()})
        return self._trials(job, read_columns(self.part(index))) if self._has(index) else None

    def finish(self, audit: Audit) -> None:
        """Write everything that is made of all trials, and mark the run as complete."""
        self.run.check_token(self._token)
        if self._whole is None:
            parts = [self.part(index) for index in range(len(self.design.schedule.jobs))]
            merge(parts, self.folder / "trials.parquet", TRIALS)
        write_rows(self.folder / "records.parquet", map(record_row, outcomes_of(audit)), RECORDS)
        write_columns(self.folder / "image_effects.parquet", image_effect_columns(audit), IMAGE_EFFECTS)
        write_columns(self.folder / "donor_effects.parquet", donor_effect_columns(audit), DONOR_EFFECTS)
        for name, columns, kinds in class_columns(audit):
            write_columns(self.folder / name, columns, kinds)
        rows = map_share_rows(audit.map_records, self.design.samples)
        write_columns(self.folder / "map_shares.parquet", rows, MAP_SHARES)
        write_map_tables(self.folder, self.design, audit.map_records)
        draw_examples(self.design, audit.findings, self.folder / "pictures")
        if audit.design.schedule.controls:
            masks = {
                str(region).replace("#", "n"): mask.numpy() for region, mask in audit.design.schedule.controls.items()
            }
            np.savez_compressed(self.folder / "controls.npz", allow_pickle=False, **masks)
        summary = audit.summary()
        manifest.write_json(self.folder / FINDINGS, summary)
        told = {name: summary[name] for name in ("images", "trials", "scope")}
        self.run.finish(self.identity.begun(), {**told, "environment": environment(self.design.plan.classifier.device)})

    def save(self, audit: Audit) -> Path:
        """Write an audit that was made in memory."""
        check_unchanged(self.design.plan)
        with self.run.held():
            if self.run.open(self.identity) is None:
                if audit.design.places is not None:
                    self.keep_places(audit.design.places)
                every = range(len(self.design.schedule.jobs))
                for _ in self.kept(iter(audit.trials.values()), every):
                    pass
                self.finish(audit)
        return self.folder

    @cached_property
    def _whole(self) -> dict[str, Column] | None:
        path = self.folder / "trials.parquet"
        return read_columns(path) if path.exists() else None

    @cached_property
    def _places(self) -> dict[str, dict[str, int]]:
        samples = self.design.samples
        return {split: {image.id: row for row, image in enumerate(sample.images)} for split, sample in samples.items()}

    def _rows(self, trials: Trials) -> dict[str, Column]:
        key, images, classes = trials.key, self.design.samples[trials.key.split].images, self.design.classes
        return {
            "factor": [str(key.factor)] * len(trials),
            "edit": [str(key.edit)] * len(trials),
            "split": [key.split] * len(trials),
            "recipient": [images[place].id for place in trials.recipients],
            "donor": [None if place == NO_DONOR else images[place].id for place in trials.donors],
            "margins_before": trials.before.margins,
            "margins": trials.after.margins,
            "probabilities_before": trials.before.probabilities,
            "probabilities": trials.after.probabilities,
            "prediction_before": [_name(classes, index) for index in trials.before.predictions],
            "prediction": [_name(classes, index) for index in trials.after.predictions],
        }

    def _trials(self, job: Job, columns: Mapping[str, Column]) -> Trials:
        written = [name for kind in ("factor", "edit", "split") for name in columns[kind][:1]]
        if written != [str(job.key.factor), str(job.key.edit), job.split]:
            raise StoreError(
                f"{self.folder} was begun by other code, whose trials come in another order.\n"
                f"  Name a new folder:  --out {self.folder}-2",
                slug="another-run",
            )
        places, sample = self._places[job.split], self.design.samples[job.split]
        donors = [NO_DONOR if donor is None else places[donor] for donor in columns["donor"]]
        return Trials(
            key=job.key,
            recipients=np.array([places[recipient] for recipient in columns["recipient"]], dtype=np.int64),
            donors=np.array(donors, dtype=np.int64),
            before=self._scores(columns, "_before"),
            after=self._scores(columns, ""),
            labels=sample.labels,
            clusters=sample.clusters,
            unit=sample.unit,
        )

    def _scores(self, columns: Mapping[str, Column], which: str) -> Scores:
        classes = {name: index for index, name in enumerate(self.design.classes)}
        decided = [classes.get(name, UNDECIDED) for name in columns[f"prediction{which}"]]
        return Scores(
            margins=np.asarray(columns[f"margins{which}"], dtype=np.float32),
            probabilities=np.asarray(columns[f"probabilities{which}"], dtype=np.float32),
            predictions=np.array(decided, dtype=np.int64),
            is_own_class=len(classes) > MOST_CLASSES,
        )


def _name(classes: Sequence[str], index: int) -> str | None:
    return None if index == UNDECIDED else classes[index]


def default_audit_folder(design: AuditDesign, budget: int | str | None) -> Path:
    """runs/audit-<hash of everything that decides the result>."""
    identity = {**identity_of(design), "budget": as_budget(budget)}
    identity.pop("answers")  # whose last digits are those of the moment
    if not design.plan.batch_asked:
        identity.pop("batch_size")
    return Path("runs") / f"audit-{manifest.digest_of(manifest.as_json(identity), 10)}"
