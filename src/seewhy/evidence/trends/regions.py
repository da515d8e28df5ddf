"""The regions in which maps are looked for: those of an audit with the same names."""

from __future__ import annotations

from seewhy.evidence.factors.regions import zone_region
from seewhy.evidence.factors.zones import HALVES, ZONES, zones_of

GRID = "grid:4x4"
CELLS = zones_of(GRID)
REGIONS = [zone_region(name, zone) for name, zone in {**ZONES, **HALVES, **CELLS}.items()]
