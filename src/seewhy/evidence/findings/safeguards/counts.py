"""Whether enough stands behind an effect: among all that stood out, and in donors."""

from __future__ import annotations

from typing import Any

from seewhy.evidence.findings.case import Case, SafeguardOutcome, excludes_zero
from seewhy.evidence.findings.safeguards.safeguard import Safeguard
from seewhy.evidence.thresholds import AUDIT_THRESHOLDS, FEW_IMAGES


class SelectedInterval(Safeguard):
    """The interval that knows how many effects stood out holds no 0."""

    name = "selection"

    def outcome(self, case: Case, measured: Any) -> SafeguardOutcome | None:
        """It is told only where it fails."""
        if excludes_zero(case.selected):
            return None
        return SafeguardOutcome(self.name, False, "among all that stood out, its interval holds 0")


class Donors(Safeguard):
    """The smallest class has enough distinct donors, a mark enough images."""

    name = "donors"

    def outcome(self, case: Case, measured: Any) -> SafeguardOutcome | None:
        """It is always told."""
        of_unit = "clusters of images" if case.effect.unit == "cluster" else "distinct images"
        donors = "clusters of donors" if case.effect.unit == "cluster" else "distinct donors"
        of_all = case.effect.probability.n
        some = [count for count in of_all.values() if count]
        if case.kind == "insert":
            what = f"{case.fewest} {of_unit}"
        elif case.effect.contrast.is_own_class:
            of_classes = f"{len(some)} of {len(of_all)}" if len(some) < len(of_all) else f"{len(of_all)}"
            what = f"{case.effect.n_donors} {donors} of {of_classes} classes, {min(some, default=0)} of the smallest"
        else:
            what = f"{case.fewest} {donors} of the smallest class"
        few = "few images: " if case.fewest < FEW_IMAGES else ""
        return SafeguardOutcome(self.name, case.fewest >= AUDIT_THRESHOLDS["few_donors"], f"{few}{what}")
