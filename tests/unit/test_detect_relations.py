"""Catalog records become sets only when nothing about the set has to be guessed."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from overround.detect.relations import Skipped, compile_relations
from overround.layout.catalog import CATALOG, SET_NONE

CAPACITY = 16


def catalog_of(*sets: int, lone: int = 0) -> np.ndarray:
    """Return records of complete neg-risk sets of these sizes, then of lone markets."""
    records = np.zeros(sum(sets) + lone, CATALOG)
    records["market"] = np.arange(len(records))
    records["status"] = 1
    records["fee_known"] = records["fee_exponent"] = 1
    records["fee_rate_ppm"] = 40_000
    records["min_size_lots"] = 5_000_000
    records["tick_ticks"] = 100
    records["set_index"] = SET_NONE
    at = 0
    for set_id, size in enumerate(sets):
        rows = records[at : at + size]
        rows["set_index"], rows["set_size"] = 10 + set_id, size
        rows["set_position"] = np.arange(size)
        rows["set_complete"] = rows["neg_risk"] = 1
        at += size
    return records


def test_complete_sets_become_rows_and_links_back() -> None:
    relations = compile_relations(catalog_of(3, 2, lone=2), CAPACITY)
    assert relations.set_ids == (10, 11)
    assert relations.offsets.tolist() == [0, 3, 5]
    assert relations.members.tolist() == [0, 1, 2, 3, 4]
    assert relations.legs(1) == [3, 4]
    links = [
        relations.market_sets[first:last].tolist()
        for first, last in zip(
            relations.market_offsets[:-1], relations.market_offsets[1:], strict=True
        )
    ]
    assert links == [[0], [0], [0], [1], [1]] + [[]] * (CAPACITY - 5)
    assert relations.min_lots.tolist() == [5_000_000, 5_000_000]
    assert relations.skipped == {}


def test_legs_stand_in_the_order_of_their_positions() -> None:
    catalog = catalog_of(3)
    catalog["set_position"] = [2, 0, 1]
    assert compile_relations(catalog, CAPACITY).legs(0) == [1, 2, 0]


def test_the_largest_minimum_of_the_legs_is_the_minimum_of_the_set() -> None:
    catalog = catalog_of(3)
    catalog["min_size_lots"] = [5_000_000, 15_000_000, 1]
    assert compile_relations(catalog, CAPACITY).min_lots.tolist() == [15_000_000]


def test_a_fee_of_another_curve_is_zero_in_the_filter() -> None:
    catalog = catalog_of(2)
    catalog["fee_exponent"] = [1, 2]
    assert compile_relations(catalog, CAPACITY).filter_rate_ppm.tolist()[:2] == [40_000, 0]


def test_an_empty_catalog_has_no_relations() -> None:
    relations = compile_relations(np.zeros(0, CATALOG), CAPACITY)
    assert relations.count == 0
    assert relations.offsets.tolist() == [0]
    assert not relations.market_offsets.any()


def _drop_last(catalog: np.ndarray) -> np.ndarray:
    return catalog[:-1]


def _set(field: str, value: int) -> Callable[[np.ndarray], np.ndarray]:
    def change(catalog: np.ndarray) -> np.ndarray:
        catalog[field][1] = value
        return catalog

    return change


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (_set("set_complete", 0), Skipped.OPEN_ENDED),
        (_drop_last, Skipped.MISSING),
        (_set("set_position", 0), Skipped.MISSING),
        (_set("set_size", 2), Skipped.MISSING),
        (_set("status", 2), Skipped.INACTIVE),
        (_set("status", 3), Skipped.INACTIVE),
        (_set("fee_known", 0), Skipped.NO_FEE),
        (_set("neg_risk", 0), Skipped.NOT_NEG_RISK),
        (_set("venue", 2), Skipped.NOT_NEG_RISK),
    ],
)
def test_a_doubtful_set_is_left_out_with_its_reason(
    change: Callable[[np.ndarray], np.ndarray], reason: Skipped
) -> None:
    relations = compile_relations(change(catalog_of(3)), CAPACITY)
    assert relations.count == 0
    assert relations.skipped == {reason: 1}


def test_a_set_of_one_is_no_set() -> None:
    assert compile_relations(catalog_of(1), CAPACITY).skipped == {Skipped.SIZE: 1}
