"""The first image that the network answers: as its input, and what its output is read as."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from itertools import islice

from torch import Tensor, nn

from seewhy.cam.fitting import fitting_size, input_channels
from seewhy.cam.model import untouched
from seewhy.cam.scores.form import formed
from seewhy.data.networks.classifier import Classifier
from seewhy.data.pictures.decode import UnreadableError, read_size
from seewhy.data.pipelines.function_fit import learn_rule
from seewhy.data.reader import Loaded, batch_of, input_made, load_image
from seewhy.data.sources.addresses import each
from seewhy.data.tables.image_table import ImageTable
from seewhy.errors import DataError, OptionError, listed
from seewhy.geometry import geometry_of
from seewhy.records import Image, Preprocess
from seewhy.run.probe import Probe, probe_network

_FIRST = 5  # images on which a network may fail before it is said to fail


def first_input(classifier: Classifier, table: ImageTable) -> Tensor:
    """The network's input (1, C, H, W) of the first image that can be read. Raises DataError where none can."""
    return next(_inputs(classifier, table))


def _inputs(classifier: Classifier, table: ImageTable) -> Iterator[Tensor]:
    """The network's input (1, C, H, W) of each image that can be read. Raises DataError where none can."""
    if isinstance(table.items, Tensor) and table.items.is_floating_point():
        for image in table.images:
            yield table.items[int(image.id), None].clone()  # a network may change its input in place
        return
    reasons = []
    for image in table.images:
        try:
            loaded: Loaded = load_image(table, image, classifier.preprocess)
        except UnreadableError as error:
            reasons.append(f"  {image.id}: {error}")
            continue
        yield batch_of([loaded], classifier.preprocess)
    if len(reasons) == len(table.images):
        more = f"\n  … and {len(reasons) - 3} more" if len(reasons) > 3 else ""
        raise DataError(
            f"None of the {len(reasons)} images can be read:\n" + "\n".join(reasons[:3]) + more, slug="no-images"
        )


def first_answered(classifier: Classifier, table: ImageTable) -> tuple[Classifier, Probe, Tensor]:
    """The classifier as its output is read, what a pass shows, and its input: of the first image that it answers.

    Raises what the network raises where it fails on each of the first images.
    """
    failure: Exception | None = None
    for inputs in islice(_inputs(classifier, table), _FIRST):
        try:
            return *as_read(classifier, inputs.clone(), table), inputs  # a network may change its input in place
        except OptionError:
            raise
        except Exception as error:  # noqa: BLE001 -- the network's own code may raise anything; it is raised again below
            failure = failure or error
    raise failure or DataError("There is no image.", slug="no-images")


def as_read(classifier: Classifier, inputs: Tensor, table: ImageTable | None = None) -> tuple[Classifier, Probe]:
    """The classifier whose network returns what is read of its output, and what its pass over these inputs shows."""
    counts: set[int] = set()
    if classifier.classes is not None:
        counts = {len(classifier.classes)}
    elif table is not None:
        counts = {len(table.classes), len({*table.classes, *table.empty})}
    n_names = len(classifier.classes or table.classes) if table is not None else 0
    has_labels = (
        table is not None
        and any(image.label for image in table.images)
        and not table.is_multi_label(classifier.classes, n_names)
    )
    fitting = tuple(sorted(counts - {0, 1}))
    probe = probe_network(classifier.model, inputs, classifier.task, classifier.asked, fitting, has_labels)
    return replace(classifier, model=formed(classifier.model, probe.form)), probe


def learn_geometry(classifier: Classifier, table: ImageTable) -> list[str]:
    """Where a preprocessing function lays photographs, for all that is read later; what is said of it.

    The random states are put back.
    """
    function = classifier.preprocess
    if isinstance(function, Preprocess) or isinstance(table.items, Tensor):
        return []
    with untouched(nn.Identity()):
        return [learn_rule(function, lambda picture: input_made(function(picture)))]


def _canvas_of(image: Image, preprocess: Preprocess) -> tuple[int, int] | None:
    """The canvas that an image fills without being resized; None where it cannot be read, which its row will say."""
    try:
        return geometry_of(read_size(image.path or ""), preprocess).canvas
    except UnreadableError:
        return None


def with_size(classifier: Classifier, table: ImageTable) -> Classifier:
    """The classifier with the images' own size as its canvas where none was given. Raises DataError for mixed sizes."""
    preprocess = classifier.preprocess
    if not isinstance(preprocess, Preprocess) or preprocess.size is not None or table.items is not None:
        return classifier
    found = each(lambda image: _canvas_of(image, preprocess), table.images, lambda image: image.path)
    sizes = Counter(canvas for canvas in found if canvas is not None)
    if not sizes:
        return classifier
    if len(sizes) > 1:
        fitting = fitting_size(classifier.model, input_channels(classifier.model))
        shown = listed([f"{w} x {h} ({n})" for (h, w), n in sizes.most_common()], 4)
        raise DataError(
            f"The images have {len(sizes)} different sizes: {shown}.\n  Give the size that the network needs:"
            f"  --size {fitting or sizes.most_common(1)[0][0][0]}",
            slug="mixed-sizes",
        )
    return replace(classifier, preprocess=replace(preprocess, size=next(iter(sizes)), shorter=None))
