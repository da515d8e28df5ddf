"""Words of `--properties` as properties."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

from seewhy.data.networks.network import module_of
from seewhy.errors import OptionError, listed, nearest
from seewhy.evidence.factors.factor import Factor, PropertyFactor
from seewhy.evidence.properties.catalogue import PROPERTIES, Property


def _properties(names: Sequence[str | Property | Factor]) -> list[Factor]:
    factors: list[Factor] = []
    for spec in names:
        if isinstance(spec, Property):
            factors.append(PropertyFactor(spec))
        elif not isinstance(spec, str):
            factors.append(_as_factor(spec, "The factor"))
        elif spec == "all":
            factors += [PropertyFactor(each) for each in PROPERTIES.values()]
        elif spec in PROPERTIES:
            factors.append(PropertyFactor(PROPERTIES[spec]))
        elif spec != "none":
            factors.append(_own_factor(spec))
    return factors


def _own_factor(spec: str) -> Factor:
    """A Property or a factor of the user's, from file.py:name. Raises OptionError for unknown words."""
    if ":" not in spec:
        raise OptionError(
            f"There is no property {spec!r}.  {nearest(spec, PROPERTIES)}".rstrip()
            + f"\n  Properties: {listed(PROPERTIES, 20)}; all, none, or your own:  --properties file.py:name",
            slug="no-such-factor",
        )
    module, name = module_of(spec)
    thing = getattr(module, name, None)
    if isinstance(thing, Property):
        return PropertyFactor(thing)
    if thing is None:
        raise OptionError(f"{spec} names nothing.  {nearest(name, vars(module))}".rstrip(), slug="no-such-factor")
    return _as_factor(thing, spec)


def _as_factor(thing: Any, spec: str) -> Factor:
    """A factor of the user's. Raises OptionError that names what it lacks."""
    parts = ("name", "kind", "words", "region", "removals", "measure", "take", "put", "removed")
    lacking = [part for part in parts if not hasattr(thing, part)]
    if lacking:
        raise OptionError(
            f"{spec} is {type(thing).__name__}, but must be a seewhy.Property or have all of a factor; it lacks: "
            f"{listed(lacking, 9)}.",
            slug="no-such-factor",
        )
    return cast(Factor, thing)
