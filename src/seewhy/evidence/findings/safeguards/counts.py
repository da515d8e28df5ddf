"""Whether enough stands behind an effect: among all that stood out, and in donors."""

from __future__ import annotations

from typing import Any

from seewhy.evidence.findings.case import Case, Outcome, excludes_zero
from seewhy.evidence.findings.safeguards.safeguard import Safeguard
from seewhy.evidence.thresholds import AUDIT_THRESHOLDS


class Selection(Safeguard):
    """The interval that knows how many effects stood out holds no 0."""

    name = "selection"

    def outcome(self, case: Case, measured: Any) -> Outcome | None:
        """It is told only where it fails."""
        if excludes_zero(case.selected):
            return None
        return Outcome(self.name, False, "among all that stood out, its interval holds 0")


class Donors(Safeguard):
    """The smallest class has enough distinct donors, a mark enough images."""

    name = "donors"

    def outcome(self, case: Case, measured: Any) -> Outcome | None:
        """It is always told."""
        what = "distinct images" if case.kind == "insert" else "distinct donors of the smallest class"
        return Outcome(self.name, case.fewest >= AUDIT_THRESHOLDS["few_donors"], f"{case.fewest} {what}")
