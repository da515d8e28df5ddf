"""FiftyOne: a data set with labels, predictions, heat maps, and what each factor does to an image, as fields."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch

from seewhy.errors import DataError, MissingExtraError, WorkError
from seewhy.geometry import geometry_of, lay
from seewhy.integrations.content import ImageRow
from seewhy.integrations.finished import content_of, map_names
from seewhy.integrations.packages import library
from seewhy.records import MapKey
from seewhy.report.stored import StoredRun
from seewhy.store.arrays import read_map

MOST_SIDE = 224  # pixels of a heat map's longer side; FiftyOne stretches it over the photograph


def write_fiftyone(run: StoredRun, name: str) -> str:
    """Make a persistent data set of that name, and say how it is opened.

    Raises MissingExtraError without the package fiftyone, WorkError where its database does not start, DataError where
    no image of the run is a file, or a data set of that name is there.
    """
    fiftyone = _started()
    rows = [(place, row) for place, row in enumerate(content_of(run).images) if row.path and Path(row.path).is_file()]
    if not rows:
        raise DataError(
            f"No image of {run.folder} is a file that is there now, and FiftyOne shows files.\n"
            "  Type the command from the folder in which the run was made.",
            slug="no-images",
        )
    if fiftyone.dataset_exists(name):
        raise DataError(f"FiftyOne has a data set {name!r} already.  Name another:  --project NAME", slug="no-images")
    dataset = fiftyone.Dataset(name, persistent=True)
    dataset.add_samples([_sample(fiftyone, run, place, row) for place, row in rows])
    return f"data set {name!r}; open it with  fiftyone app launch {name}"


def _started() -> Any:
    """The package, whose database has answered."""
    try:
        fiftyone = library("fiftyone", "fiftyone", "Exporting to FiftyOne")
        fiftyone.list_datasets()
    except MissingExtraError:
        raise
    except Exception as error:  # the errors of FiftyOne, of its database and its driver share no base
        words = " ".join(str(error).split())[:200] or type(error).__name__
        raise WorkError(
            f"FiftyOne's database did not start: {words}\n"
            "  It is MongoDB, which fiftyone-db fetches from the network while it is installed. To use one that runs,\n"
            "  set FIFTYONE_DATABASE_URI=mongodb://HOST:27017.\n"
            "  Other formats, without a database:  --to csv, --to coco",
            slug="tracker",
        ) from error
    return fiftyone


def _sample(fiftyone: Any, run: StoredRun, place: int, row: ImageRow) -> Any:
    fields: dict[str, Any] = {"tags": [row.split] if row.split else []}
    if row.label is not None:
        fields["ground_truth"] = fiftyone.Classification(label=row.label)
    if row.prediction is not None:
        fields["prediction"] = fiftyone.Classification(label=row.prediction, confidence=row.probability)
    fields["correct"], fields["error"] = row.correct, row.error
    fields |= {f"necessity_{field_name(factor)}": value for factor, value in row.effects.items()}
    fields |= {
        f"group_by_{field_name(proposer)}": fiftyone.Classification(label=group)
        for proposer, group in row.groups.items()
    }
    for key, name in map_names(run.keys).items() if run.keys else ():
        if (heat := _heat_of(run, key, place)) is not None:
            peak = float(heat.max())
            fields[f"map_{field_name(name)}"] = fiftyone.Heatmap(map=heat, range=[0.0, peak])
            fields[f"raw_peak_{field_name(name)}"] = run.stats[key][place].maximum
    given: Mapping[str, Any] = {name: value for name, value in fields.items() if value is not None}
    return fiftyone.Sample(filepath=str(Path(row.path or "").absolute()), seewhy_id=row.id, **given)


def _heat_of(run: StoredRun, key: MapKey, place: int) -> Any:
    """The positive part of a map over the whole photograph, its longer side 224; None for an empty map."""
    stat, outcome = run.stats[key].get(place), run.outcomes[place]
    if stat is None or stat.empty or run.preprocess is None or not outcome.height or not outcome.width:
        return None
    share = min(1.0, MOST_SIDE / max(outcome.height, outcome.width))
    size = max(1, round(outcome.height * share)), max(1, round(outcome.width * share))
    geometry = geometry_of((outcome.height, outcome.width), run.preprocess)
    laid = lay(torch.from_numpy(read_map(run.folder, key, place))[None], geometry, size)[0]
    return np.asarray(laid.clamp(min=0).numpy(), dtype=np.float32)


def field_name(text: str) -> str:
    """The text as a name that FiftyOne takes for a field."""
    return re.sub(r"\W+", "_", text, flags=re.ASCII).strip("_").lower() or "unnamed"
