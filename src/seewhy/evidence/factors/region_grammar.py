"""Which regions are meant: from the words of an option to regions with their readers."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from seewhy.data.tables.image_table import ImageTable
from seewhy.errors import OptionError, nearest
from seewhy.evidence.factors.region_sources import DETECTED, FACE, SOURCES, given_regions
from seewhy.evidence.factors.regions import Region, complement, mask_region, zone_region
from seewhy.evidence.factors.zones import WORDS, zones_of

BACKGROUND = "background"
SEARCH = "search"  # within an audit, for places that nobody named
_ALIASES = {"faces": FACE}
_PLACES = ("border", "corners", "centre", "halves", "grid:4x4", "zones")
GRAMMAR = ", ".join((*_PLACES, SEARCH, *DETECTED, BACKGROUND, *(source.form for source in SOURCES), "NAME=not:REGION"))
_NAME = re.compile(r"\w[\w .-]*")
_KNOWN = tuple(dict.fromkeys((*WORDS, *_PLACES, SEARCH, *DETECTED, *_ALIASES, BACKGROUND)))  # beside NAME=…


def find_regions(specs: str | Sequence[str | Region], table: ImageTable) -> list[Region]:
    """The regions that the words name, in their order, for the images of the table; the grammar is `GRAMMAR`.

    One string is cut at its commas. Complements may stand before what they exclude. Raises OptionError for unknown
    words, DataError for missing files or files that fit none of the images, MissingExtraError without the detector
    of faces.
    """
    parts: Sequence[str | Region] = specs.split(",") if isinstance(specs, str) else _listed(specs)
    asked = [spec for part in parts if (spec := part.strip() if isinstance(part, str) else part) != ""]
    if not asked:
        raise OptionError(f"No region was named.  Regions: {GRAMMAR}", slug="no-such-region")
    given = [
        spec.partition("=")[0].strip() if isinstance(spec, str) else spec.name for spec in asked if _is_given(spec)
    ]
    plain = {place: _plain(spec, table, given) for place, spec in enumerate(asked) if not _excluded(spec)}
    known = {region.name: region for group in plain.values() for region in group}
    regions: dict[str, Region] = {}
    for place, spec in enumerate(asked):
        for region in plain[place] if place in plain else [_complement(str(spec), known, table)]:
            kept = regions.setdefault(region.name, region)
            if kept.source != region.source:
                raise OptionError(
                    f"Two regions are called {region.name!r} ({kept.source}; {region.source}); give each its own name.",
                    slug="no-such-region",
                )
    return list(regions.values())


def _listed(specs: Any) -> list[str | Region]:
    if not isinstance(specs, (list, tuple)) or not all(isinstance(spec, (str, Region)) for spec in specs):
        raise OptionError(
            f"Regions are words by commas, or a list of words and Regions; got {specs!r}.\n  Regions: {GRAMMAR}",
            slug="no-such-region",
        )
    return list(specs)


def is_region(word: str) -> bool:
    """Whether a word is of the grammar of regions, and so of no other."""
    return "=" in word or word in (*DETECTED, *_ALIASES, BACKGROUND) or bool(zones_of(word))


def _excluded(asked: str | Region) -> str:
    """What a complement leaves out: "face" of "background" and of "NAME=not:face"; "" of all else."""
    if isinstance(asked, Region):
        return ""
    if asked == BACKGROUND:
        return FACE
    word, _, excluded = asked.rpartition("=")[2].partition(":")
    return excluded.strip() if word.strip() == "not" else ""


def _complement(asked: str, known: Mapping[str, Region], table: ImageTable) -> Region:
    excluded = _excluded(asked)
    if asked == BACKGROUND and FACE not in known:
        others = f"\n  Or of what you named:  background=not:{next(iter(known))}" if known else ""
        raise OptionError(
            f"The background of what?  Name a face region beside it:  face,background{others}", slug="no-such-region"
        )
    inner = [known[excluded]] if excluded in known else _word(excluded, table)
    if len(inner) != 1:
        close = nearest(excluded, [*known, *_KNOWN])
        raise OptionError(
            f"{asked!r} leaves out {excluded!r}, which is no single region.  {close}".rstrip()
            + f"\n  Regions: {GRAMMAR}",
            slug="no-such-region",
        )
    name, equals, _ = asked.partition("=")
    own_name = _named(name.strip(), asked) if equals or asked == BACKGROUND else f"not-{excluded}"
    return complement(own_name, inner[0])


def _is_given(spec: str | Region) -> bool:
    return isinstance(spec, Region) or "=" in spec


def _plain(asked: str | Region, table: ImageTable, given: Sequence[str]) -> list[Region]:
    """The regions of a word that is no complement; `given` are names. Raises OptionError for unknown ones."""
    if isinstance(asked, Region):
        return [asked]
    name, equals, value = (part.strip() for part in asked.partition("="))
    if re.fullmatch(r"not\s*:", value or name):
        raise OptionError(
            f"{asked!r} names no region to leave out.  Such as:  {name if equals else 'not-centre'}=not:centre",
            slug="no-such-region",
        )
    if equals:
        return given_regions(_named(name, asked), value, table)
    if regions := _word(asked, table):
        return regions
    hint = (
        f"  Masks need a name:  {Path(asked).stem.partition(':')[0]}={asked}"
        if Path(asked).exists() or ":" in asked
        else ""
    )
    raise OptionError(
        f"There is no region {asked!r}.  {nearest(asked, [*given, *_KNOWN])}{hint}".rstrip()
        + f"\n  Regions: {GRAMMAR}",
        slug="no-such-region",
    )


def _word(word: str, table: ImageTable) -> list[Region]:
    if word == SEARCH:
        raise OptionError(
            "'search' looks for places within an audit, and is no region by itself:  seewhy audit … --regions search\n"
            f"  Regions: {GRAMMAR}",
            slug="no-such-region",
        )
    name = _ALIASES.get(word, word)
    if name in DETECTED:
        source, masks = DETECTED[name]
        return [mask_region(name, source, masks())]
    return [zone_region(name, zone) for name, zone in zones_of(word).items()]


def _named(name: str, asked: str) -> str:
    if not _NAME.fullmatch(name):
        raise OptionError(
            f"{asked!r} gives its region the name {name!r}; a name has letters, digits, '-', '_' and '.'.",
            slug="no-such-region",
        )
    return name
