"""What a strategy sees and says when it quotes: books that may be traded on, targets whole."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

from oracle.regions import SHARE, Regions
from overround.decide.intents import IntentWriter
from overround.decide.strategy import OWN_SEQUENCE, Book, Context, Parameters, Strategy
from overround.decide.targets import LIFE_MS_MAX, TargetWriter
from overround.detect.books import BookReader
from overround.detect.host import StrategyHost
from overround.detect.legs import Shard
from overround.errors import InvariantError
from overround.layout.region import RegionKind
from overround.layout.target import TargetFlag
from overround.shm.slots import Slots

NOW_NS = 1_000_000_000_000
LEASE_NS = 500_000_000
SECOND_NS = 1_000_000_000
TEN = 10 * SHARE
BOOK = Book(4_500, TEN, 5_000, TEN, 100, 4, 2, NOW_NS)


class NoMeters:
    def add(self, value: object, n: int = 1) -> None: ...
    def record(self, histogram: object, value_ns: int) -> None: ...


class Quoter(Strategy):
    """Quotes one tick inside every book it is told of."""

    name = "test_quoter"

    def __init__(self) -> None:
        self.told: list[int] = []
        self.taken: list[bool] = []

    def on_book(self, ctx: Context, market: int) -> None:
        self.told.append(market)
        book = ctx.book(market)
        if book is None:
            ctx.withdraw(market)
            return
        bid, ask = book.bid_ticks + book.tick_ticks, book.ask_ticks - book.tick_ticks
        self.taken.append(ctx.quote(market, (bid, TEN), (ask, TEN), book=book))


@pytest.fixture(name="regions")
def fixture_regions() -> Iterator[Regions]:
    regions = Regions()
    yield regions
    regions.close()


@pytest.fixture(name="slots")
def fixture_slots(regions: Regions) -> Slots:
    return Slots(regions._create("targets-detector-0", RegionKind.TARGETS, 8))


@pytest.fixture(name="targets")
def fixture_targets(slots: Slots) -> TargetWriter:
    return TargetWriter(slots, clock=lambda: NOW_NS)


def quote(targets: TargetWriter, market: int = 2, strategy: int = 1, **changes: object) -> bool:
    values: dict[str, object] = {
        "bid": (4_700, TEN), "ask": (5_100, TEN), "ingress_epoch": 4, "life_ms": 1_000,
        "gtd": False, **changes,
    }  # fmt: skip
    return targets.quote(strategy, market, **values)  # type: ignore[arg-type]


def host_of(
    regions: Regions, targets: TargetWriter | None, *strategies: Strategy, books: object = None
) -> StrategyHost:
    writer = IntentWriter(
        regions.producer, number=3, ttl_ns=1, clock=lambda: NOW_NS, meters=NoMeters()
    )
    return StrategyHost(
        list(strategies), writer, Parameters(), number=3, targets=targets,
        books=books,  # type: ignore[arg-type]
    )  # fmt: skip


def row(slots: Slots, market: int = 2) -> np.void:
    found = slots.load(market)
    assert found is not None
    return found


def test_a_target_has_every_field(slots: Slots, targets: TargetWriter) -> None:
    assert quote(targets, gtd=True)
    found = row(slots)
    expected = {
        "strategy": 1, "market": 2, "bid_ticks": 4_700, "ask_ticks": 5_100, "bid_lots": TEN,
        "ask_lots": TEN, "flags": TargetFlag.GTD, "updated_ns": NOW_NS,
        "expires_ns": NOW_NS + SECOND_NS, "ingress_epoch": 4,
    }  # fmt: skip
    assert {name: int(found[name]) for name in expected} == expected


def test_a_side_that_is_not_wanted_has_no_lots(slots: Slots, targets: TargetWriter) -> None:
    quote(targets, ask=None)
    assert (int(row(slots)["bid_lots"]), int(row(slots)["ask_lots"])) == (TEN, 0)


@pytest.mark.parametrize(
    "wrong",
    [
        {"bid": (0, TEN)},
        {"ask": (10_000, TEN)},
        {"bid": (4_700, 0)},
        {"bid": (5_100, TEN)},
        {"life_ms": 0},
        {"life_ms": LIFE_MS_MAX + 1},
    ],
)
def test_a_quote_that_makes_no_sense_is_not_written(
    slots: Slots, targets: TargetWriter, wrong: dict[str, object]
) -> None:
    with pytest.raises(ValueError, match="quote"):
        quote(targets, **wrong)
    assert slots.count == 0


def test_a_market_belongs_to_the_first_strategy_until_it_withdraws(
    slots: Slots, targets: TargetWriter
) -> None:
    assert quote(targets, strategy=1)
    assert not quote(targets, strategy=2)
    targets.withdraw(2, 2)
    assert int(row(slots)["bid_lots"]) == TEN
    targets.withdraw(1, 2)
    assert int(row(slots)["bid_lots"]) == int(row(slots)["expires_ns"]) == 0
    assert quote(targets, strategy=2)


def test_a_new_process_finds_no_targets_of_the_dead_one(
    slots: Slots, targets: TargetWriter
) -> None:
    quote(targets)
    TargetWriter(slots, clock=lambda: NOW_NS)
    assert int(row(slots)["expires_ns"]) == 0


def reader_of(regions: Regions) -> BookReader:
    shard = Shard(0, regions.reader(), regions.board, regions.board_segment)
    return BookReader([shard], regions.catalog, LEASE_NS)


def test_books_are_shown_only_while_they_may_be_traded_on(regions: Regions) -> None:
    market = regions.add_market()
    reader = reader_of(regions)
    regions.publish(market, (4_800, 10.0, 5_000, 20.0), now_ns=NOW_NS)
    assert reader.top(market, NOW_NS) is None  # its owner never beat
    regions.beat(NOW_NS)
    found = reader.top(market, NOW_NS)
    assert found is not None
    assert found[:5] == (4_800, TEN, 5_000, 2 * TEN, 100)
    assert found.ingress_epoch == regions.board_segment.epoch
    assert reader.top(market, NOW_NS + 2 * LEASE_NS) is None
    assert reader.top(market + 1, NOW_NS) is None


def test_a_book_of_one_side_has_nothing_on_the_other(regions: Regions) -> None:
    market = regions.add_market()
    regions.publish(market, (4_800, 10.0, 10_000, 0.0), now_ns=NOW_NS)
    regions.beat(NOW_NS)
    found = reader_of(regions).top(market, NOW_NS)
    assert found is not None
    assert (found.ask_ticks, found.ask_lots) == (10_000, 0)


def test_a_strategy_is_told_of_books_and_quotes_them(
    regions: Regions, slots: Slots, targets: TargetWriter
) -> None:
    strategy = Quoter()
    books: dict[int, Book | None] = {2: BOOK}
    host = host_of(regions, targets, strategy, books=lambda market, now_ns: books[market])
    assert host.follows_books
    host.book(2, NOW_NS)
    assert strategy.told == [2]
    assert strategy.taken == [True]
    assert (int(row(slots)["bid_ticks"]), int(row(slots)["ask_ticks"])) == (4_600, 4_900)
    books[2] = None
    host.book(2, NOW_NS)
    assert int(row(slots)["expires_ns"]) == 0


def test_strategies_that_ask_for_no_books_cost_none(regions: Regions) -> None:
    assert not host_of(regions, None, Strategy()).follows_books


def test_the_end_of_the_process_withdraws_every_target(
    regions: Regions, slots: Slots, targets: TargetWriter
) -> None:
    host = host_of(regions, targets, Strategy())
    quote(targets)
    host.stop(NOW_NS)
    assert int(row(slots)["expires_ns"]) == 0


def test_a_host_without_targets_says_so(regions: Regions) -> None:
    strategy = Quoter()
    host = host_of(regions, None, strategy, books=lambda market, now_ns: BOOK)
    with pytest.raises(InvariantError, match="cannot quote"):
        host.book(2, NOW_NS)
    assert host_of(regions, None, strategy)._pairs[0][1].book(2) is None


def test_own_sequences_are_out_of_every_rings_reach() -> None:
    assert OWN_SEQUENCE == 1 << 62
