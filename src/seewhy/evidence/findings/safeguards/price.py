"""Does the edit itself break the network? Content of the image's own class should leave most decisions as they are."""

from __future__ import annotations

from typing import Any

from seewhy.evidence.findings.case import Case, Outcome
from seewhy.evidence.findings.safeguards.safeguard import Safeguard
from seewhy.evidence.thresholds import AUDIT_THRESHOLDS


class Price(Safeguard):
    """Donors of the own class flip few decisions, or far fewer than those of another class."""

    name = "price"

    def outcome(self, case: Case, measured: Any) -> Outcome | None:
        """It is told only where it fails."""
        flips, own_flips = case.effect.flips, case.effect.flips_own
        if own_flips is None or own_flips.value < AUDIT_THRESHOLDS["broken_flips"]:
            return None
        if own_flips.value < AUDIT_THRESHOLDS["broken_share"] * flips.value:
            return None
        words = (
            f"content of the image's own class flips {own_flips.value:.0%} of the decisions "
            f"[{own_flips.low:.0%}, {own_flips.high:.0%}], another class's {flips.value:.0%}: the edit itself may do it"
        )
        return Outcome(self.name, False, words)
