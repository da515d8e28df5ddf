"""Where the maps of an audit lie: hypotheses, beside the tests."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class RegionShare:
    """The share of the maps' positive part inside a region on one split, and that over the region's area."""

    region: str
    split: str
    share: str
    lift: str
    count: str


def shares_of(maps: Mapping[str, Any]) -> list[RegionShare]:
    """The shares of all regions, train before valid."""
    shares = []
    for split, regions in (maps.get("shares") or {}).items():
        for region, share in regions.items():
            if share.get("value") is None:
                continue
            lift = (maps.get("lifts") or {}).get(split, {}).get(region) or {}
            over = "" if lift.get("value") is None else f"{lift['value']:.2f} times an even spread"
            ends = "" if share.get("low") is None else f" [{share['low']:.0%} to {share['high']:.0%}]"
            shares.append(
                RegionShare(region, split, f"{share['value']:.0%}{ends}", over, f"{share['n']:,} edited images")
            )
    return sorted(shares, key=lambda entry: (entry.region, entry.split != "train"))
