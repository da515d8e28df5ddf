"""Does the edit itself break the network? Content of the image's own class should not speak against it."""

from __future__ import annotations

from typing import Any

import numpy as np

from seewhy.evidence.findings.case import Case, SafeguardOutcome
from seewhy.evidence.findings.safeguards.safeguard import Evidence, Safeguard
from seewhy.evidence.thresholds import AUDIT_THRESHOLDS
from seewhy.evidence.trials.edit import EXCHANGE


class Price(Safeguard):
    """Donors of the own class flip few decisions, or far fewer than another's, or do not lower that class's margin.

    Content that a recipient could have had itself moves the margin as often up as down; where it lowers it, seams or
    parts that no longer fit do.
    """

    name = "price"
    by_contrast = False

    def measure(self, evidence: Evidence, case: Case) -> float | None:
        """How far donors of the own class lower the margin of the recipients' label, as a share of its mean size."""
        trials = evidence.of(case.factor, EXCHANGE)
        if trials is None:
            return None
        of_own = trials.at(np.flatnonzero(trials.recipient_labels == trials.donor_labels))
        size = np.abs(of_own.before.label_margins(of_own.recipient_labels))
        known = np.isfinite(falls := of_own.falls())
        return float(falls[known].mean() / max(size[known].mean(), 1e-9)) if known.any() else None

    def outcome(self, case: Case, measured: float | None) -> SafeguardOutcome | None:
        """It is told only where it fails."""
        flips, own_flips = case.effect.flips, case.effect.flips_own
        if measured is None or own_flips is None or own_flips.value < AUDIT_THRESHOLDS["broken_flips"]:
            return None
        is_small = own_flips.value < AUDIT_THRESHOLDS["broken_part"] * flips.value
        if is_small or measured < AUDIT_THRESHOLDS["broken_margin"]:
            return None
        words = (
            f"content of the image's own class flips {own_flips.value:.0%} of the decisions "
            f"[{own_flips.low:.0%}, {own_flips.high:.0%}], another class's {flips.value:.0%}, and takes {measured:.0%} "
            "of its margin: the edit itself may do it"
        )
        return SafeguardOutcome(self.name, False, words)

    def stored(self, measured: Any) -> dict[str, Any]:
        """The share of the margin."""
        return {"own_fall": measured}
