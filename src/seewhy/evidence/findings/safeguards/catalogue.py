"""All safeguards, in the order in which their trials are made and their outcomes are told."""

from __future__ import annotations

from seewhy.evidence.findings.safeguards.control import Control
from seewhy.evidence.findings.safeguards.core_property import CoreProperty
from seewhy.evidence.findings.safeguards.counts import Donors, SelectedInterval
from seewhy.evidence.findings.safeguards.edge import Edge
from seewhy.evidence.findings.safeguards.outside import OutsideCore
from seewhy.evidence.findings.safeguards.price import Price
from seewhy.evidence.findings.safeguards.removals import Removals
from seewhy.evidence.findings.safeguards.rest import EverythingOutside
from seewhy.evidence.findings.safeguards.rim import Rim
from seewhy.evidence.findings.safeguards.safeguard import Safeguard
from seewhy.evidence.findings.safeguards.train import Train

SAFEGUARDS: tuple[Safeguard, ...] = (
    SelectedInterval(),
    Control(),
    OutsideCore(),
    Rim(),
    CoreProperty(),
    EverythingOutside(),
    Price(),
    Removals(),
    Edge(),
    Donors(),
    Train(),
)
