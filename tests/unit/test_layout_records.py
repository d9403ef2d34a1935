"""Layouts are equal in C and numpy, and enums have the same numbers on both sides."""

from __future__ import annotations

from enum import IntEnum, IntFlag

import numpy as np
import pytest

from overround._native import ffi, lib
from overround.layout.board import LEVELS_MAX, Proof, UntrustCause
from overround.layout.change import BookFlag
from overround.layout.meters import HISTOGRAM_BUCKETS, HISTOGRAMS, VALUES
from overround.layout.region import REGIONS, RegionKind, Shape, layout_hash
from overround.layout.trade import TradeKind
from overround.observe.metrics import Histogram, Value
from overround.shm.tap import TapKind

C_NAMES = {
    RegionKind.ROSTER: "ovr_roster",
    RegionKind.CATALOG: "ovr_catalog",
    RegionKind.BOARD: "ovr_board",
    RegionKind.CHANGES: "ovr_change",
    RegionKind.TRADES: "ovr_trade",
    RegionKind.INTENTS: "ovr_intent",
    RegionKind.REPORTS: "ovr_report",
    RegionKind.ACCOUNT: "ovr_account",
    RegionKind.TARGETS: "ovr_target",
    RegionKind.METERS: "ovr_meters",
}

INTEGERS = {
    ("i", 2): "int16_t",
    ("i", 4): "int32_t",
    ("i", 8): "int64_t",
    ("u", 1): "uint8_t",
    ("u", 2): "uint16_t",
    ("u", 4): "uint32_t",
    ("u", 8): "uint64_t",
    ("S", 1): "char",
}


def element_type(field: np.dtype) -> str:
    base = field.base
    return INTEGERS[(base.kind, 1 if base.kind == "S" else base.itemsize)]


def c_element(ctype: object) -> str:
    while ctype.kind == "array":
        ctype = ctype.item
    return ctype.cname


@pytest.mark.parametrize("kind", C_NAMES, ids=lambda kind: kind.name.lower())
def test_every_field_has_the_same_place_and_type_in_c(kind: RegionKind):
    record = REGIONS[kind].record
    structure = ffi.typeof(f"struct {C_NAMES[kind]}")
    in_c = {
        name: (field.offset, ffi.sizeof(field.type), c_element(field.type))
        for name, field in structure.fields
    }
    in_numpy = {
        name: (offset, field.itemsize, element_type(field))
        for name, (field, offset) in record.fields.items()
    }
    assert in_numpy == in_c
    assert record.itemsize == ffi.sizeof(structure)
    assert record.itemsize % 8 == 0


@pytest.mark.parametrize("kind", RegionKind, ids=lambda kind: kind.name.lower())
def test_kinds_and_shapes_agree(kind: RegionKind):
    assert getattr(lib, f"OVR_REGION_{kind.name}") == kind
    assert lib.ovr_region_shape(kind) == REGIONS[kind].shape


@pytest.mark.parametrize(
    ("prefix", "numbers"),
    [
        ("OVR_SHAPE_", Shape),
        ("OVR_BOOK_", BookFlag),
        ("OVR_TRADE_", TradeKind),
        ("OVR_PROOF_", Proof),
        ("OVR_CAUSE_", UntrustCause),
        ("OVR_TAP_", TapKind),
        ("OVR_HISTOGRAM_", Histogram),
    ],
)
def test_enums_agree(prefix: str, numbers: type[IntEnum] | type[IntFlag]):
    assert {member.name: getattr(lib, prefix + member.name) for member in numbers} == {
        member.name: member.value for member in numbers
    }


def test_meters_written_by_native_code_have_their_row_in_the_table():
    native = {name[len("OVR_METER_") :] for name in dir(lib) if name.startswith("OVR_METER_")}
    table = {member.name for member in Value if member < 48} | {"DECODED_GENERAL"}
    assert native == table
    assert all(getattr(lib, f"OVR_METER_{name}") == Value[name] for name in native)


def test_meter_geometry_agrees():
    assert (lib.OVR_VALUES, lib.OVR_HISTOGRAMS) == (VALUES, HISTOGRAMS)
    assert lib.OVR_HISTOGRAM_BUCKETS == HISTOGRAM_BUCKETS
    assert len(Histogram) <= HISTOGRAMS
    assert REGIONS[RegionKind.BOARD].record["bid_lots"].shape == (LEVELS_MAX,)


def test_layout_hash_tells_layouts_apart(monkeypatch: pytest.MonkeyPatch):
    assert len({layout_hash(kind) for kind in RegionKind}) == len(RegionKind)

    before = layout_hash(RegionKind.CHANGES)
    region = REGIONS[RegionKind.CHANGES]
    fields = [(name, region.record[name].str) for name in region.record.names]
    swapped = [*fields[:8], fields[9], fields[8], *fields[10:]]
    renamed = [("other", fields[0][1]), *fields[1:]]
    for changed in (swapped, renamed):
        other = type(region)(region.shape, np.dtype(changed))
        monkeypatch.setitem(REGIONS, RegionKind.CHANGES, other)
        assert other.record_size == region.record_size
        assert layout_hash(RegionKind.CHANGES) != before
