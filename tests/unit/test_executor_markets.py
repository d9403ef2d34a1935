"""The books an executor judges by: the slot as it stands, or no book at all."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from oracle.regions import SHARE, Regions
from overround.execute.markets import NO_BOOK, SharedMarkets
from overround.layout.change import BookFlag

NOW_NS = 5_000_000_000
LEASE_NS = 500_000_000
TOP = (4_800, 30, 5_000, 40)
TRUSTED = int(BookFlag.TRUSTED)


@pytest.fixture(name="regions")
def fixture_regions() -> Iterator[Regions]:
    regions = Regions()
    regions.add_market()
    regions.add_market()
    regions.beat(NOW_NS)
    yield regions
    regions.close()


@pytest.fixture(name="markets")
def fixture_markets(regions: Regions) -> SharedMarkets:
    markets = SharedMarkets(regions.catalog, {0: (regions.board_segment, regions.board)}, LEASE_NS)
    markets.refresh()
    return markets


def test_a_book_shows_the_levels_of_its_own_slot(regions: Regions, markets: SharedMarkets) -> None:
    regions.store(0, TOP, now_ns=NOW_NS)
    regions.store(1, (0, 0, 5_500, 7), now_ns=NOW_NS)
    first, tick_ticks = markets.book(0, NOW_NS)
    second, _ = markets.book(1, NOW_NS)
    assert (first.usable, first.trusted, tick_ticks) == (True, True, 100)
    assert (first.bids, first.asks) == (((4_800, 30 * SHARE),), ((5_000, 40 * SHARE),))
    assert (second.bid_ticks, second.bid_lots, second.bids) == (0, 0, ())
    assert (second.ask_ticks, second.ask_lots) == (5_500, 7 * SHARE)
    assert first.bids == ((4_800, 30 * SHARE),)  # a later look does not reach back


@pytest.mark.parametrize("flag", [BookFlag.CROSSED, BookFlag.RESOLVED])
def test_trusted_is_not_enough(regions: Regions, markets: SharedMarkets, flag: BookFlag) -> None:
    regions.store(0, TOP, now_ns=NOW_NS, flags=TRUSTED | int(flag))
    book, _ = markets.book(0, NOW_NS)
    assert (book.usable, book.trusted) == (True, False)


def test_a_silent_owner_has_no_book(regions: Regions, markets: SharedMarkets) -> None:
    regions.store(0, TOP, now_ns=NOW_NS)
    assert markets.book(0, NOW_NS + LEASE_NS)[0].usable
    assert markets.book(0, NOW_NS + LEASE_NS + 1) == (NO_BOOK, 0)
    regions.board_segment.take_over()
    assert markets.book(0, NOW_NS) == (NO_BOOK, 0)  # not before the next owner beats
    assert markets.book(99, NOW_NS) == (NO_BOOK, 0)


def name_markets(regions: Regions, markets: SharedMarkets) -> None:
    for index in range(2):
        row = regions.catalog.load(index)
        assert row is not None
        row["condition_id"] = b"0xc%d" % index
        row["token_yes"], row["token_no"] = b"%d" % (2 * index + 1), b"%d" % (2 * index + 2)
        regions.catalog.store(index, row)
    markets.refresh()


def test_a_change_in_the_catalog_makes_only_its_own_market_anew(
    regions: Regions, markets: SharedMarkets
) -> None:
    name_markets(regions, markets)
    before = [markets.info(0), markets.info(1)]
    row = regions.catalog.load(1)
    assert row is not None
    row["tick_ticks"] = 10
    regions.catalog.store(1, row)
    assert markets.refresh() == 2
    assert markets.info(0) is before[0]
    changed = markets.info(1)
    assert changed is not None
    assert changed.tick_ticks == 10


def test_a_set_that_is_complete_at_last_is_one_for_all_its_markets(
    regions: Regions, markets: SharedMarkets
) -> None:
    name_markets(regions, markets)
    for index in range(2):
        row = regions.catalog.load(index)
        assert row is not None
        row["set_index"], row["set_position"], row["set_size"], row["set_complete"] = 0, index, 2, 1
        regions.catalog.store(index, row)
        markets.refresh()
    infos = [markets.info(0), markets.info(1)]
    members = ("0xc0", "0xc1")
    assert [one.set_members for one in infos if one is not None] == [members, members]
    row = regions.catalog.load(1)
    assert row is not None
    row["set_complete"] = 0
    regions.catalog.store(1, row)
    markets.refresh()
    first = markets.info(0)
    assert first is not None
    assert first.set_members == ()
