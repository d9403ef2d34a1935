"""Kinds of shared regions: which mechanism and which record each one uses."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from enum import IntEnum
from typing import Any

import numpy as np

from overround.layout.account import ACCOUNT
from overround.layout.board import BOARD
from overround.layout.catalog import CATALOG
from overround.layout.change import CHANGE
from overround.layout.intent import INTENT
from overround.layout.meters import METERS
from overround.layout.report import REPORT
from overround.layout.roster import ROSTER
from overround.layout.target import TARGET
from overround.layout.trade import TRADE

LAYOUT_VERSION = 1
"""Raised when the meaning of a field changes; moved fields change the hash by themselves."""


class RegionKind(IntEnum):
    """What a segment holds; same numbers as ``enum ovr_region_kind``."""

    ROSTER = 1
    CATALOG = 2
    BOARD = 3
    CHANGES = 4
    TRADES = 5
    INTENTS = 6
    REPORTS = 7
    ACCOUNT = 8
    TARGETS = 9
    METERS = 10
    KILL = 11


class Shape(IntEnum):
    """The mechanism over the records; same numbers as ``enum ovr_region_shape``."""

    SLOTS = 1
    BROADCAST = 2
    SPSC = 3
    METERS = 4
    LATCH = 5


@dataclass(frozen=True, slots=True)
class Region:
    """One row: mechanism and record; ``record`` is None where there are no records."""

    shape: Shape
    record: np.dtype[Any] | None

    @property
    def record_size(self) -> int:
        """Bytes of one record, 0 where there are none."""
        return 0 if self.record is None else self.record.itemsize


REGIONS: dict[RegionKind, Region] = {
    RegionKind.ROSTER: Region(Shape.SLOTS, ROSTER),
    RegionKind.CATALOG: Region(Shape.SLOTS, CATALOG),
    RegionKind.BOARD: Region(Shape.SLOTS, BOARD),
    RegionKind.CHANGES: Region(Shape.BROADCAST, CHANGE),
    RegionKind.TRADES: Region(Shape.BROADCAST, TRADE),
    RegionKind.INTENTS: Region(Shape.SPSC, INTENT),
    RegionKind.REPORTS: Region(Shape.BROADCAST, REPORT),
    RegionKind.ACCOUNT: Region(Shape.SLOTS, ACCOUNT),
    RegionKind.TARGETS: Region(Shape.SLOTS, TARGET),
    RegionKind.METERS: Region(Shape.METERS, METERS),
    RegionKind.KILL: Region(Shape.LATCH, None),
}


def layout_hash(kind: RegionKind) -> int:
    """Return 64 bits that differ whenever a field is renamed, moved or retyped.

    Stands in the header of each segment, so that processes of two builds refuse each other
    instead of reading one field as another.
    """
    region = REGIONS[kind]
    fields = [] if region.record is None else _describe(region.record)
    text = "\n".join([f"{LAYOUT_VERSION} {kind.value} {region.shape.value}", *fields])
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "little")


def _describe(record: np.dtype[Any]) -> list[str]:
    assert record.fields is not None
    in_order = sorted(record.fields.items(), key=lambda item: item[1][1])
    return [f"{name} {field[0].base.str}{field[0].shape} {field[1]}" for name, field in in_order]
