"""What the ingress reads from and leaves in shared regions: catalog rows and distrusted books."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator

import numpy as np
import pytest

from overround.ingress.catalog import CatalogFollower, CatalogNews
from overround.ingress.takeover import distrust_board
from overround.layout.board import BOARD, UntrustCause
from overround.layout.catalog import CATALOG, MarketStatus
from overround.layout.change import BookFlag
from overround.layout.region import RegionKind
from overround.shm.segment import Segment
from overround.shm.slots import Slots

RUN_ID = 0x1261


@pytest.fixture
def make_slots() -> Iterator[Callable[[RegionKind], Slots]]:
    made: list[Segment] = []

    def make(kind: RegionKind) -> Slots:
        name = f"/ovr-test-{os.getpid():x}-{kind.name.lower()}"
        segment = Segment.create(name, kind, capacity=64, run_id=RUN_ID)
        made.append(segment)
        segment.take_lease()
        segment.take_over()
        return Slots(segment)

    yield make
    for segment in made:
        segment.unlink()
        segment.close()


def row(index: int, shard: int = 0, status: MarketStatus = MarketStatus.ACTIVE) -> np.ndarray:
    record = np.zeros(1, CATALOG)
    record["market"] = index
    record["status"] = status
    record["shard"] = shard
    record["tick_ticks"] = 100
    record["min_size_lots"] = 5_500_000
    record["neg_risk"] = index % 2
    record["condition_id"] = f"0x{index:064x}".encode()
    record["token_yes"] = f"{index}1".encode()
    record["token_no"] = f"{index}2".encode()
    return record


def test_rows_are_read_once_and_only_those_of_the_shard(
    make_slots: Callable[[RegionKind], Slots],
) -> None:
    catalog = make_slots(RegionKind.CATALOG)
    for index in range(4):
        catalog.append(row(index, shard=index % 2))
    follower = CatalogFollower(catalog, shard=1)
    added = follower.poll_new()
    assert [entry.index for entry in added] == [1, 3]
    assert added[0].condition_id == "0x" + f"{1:064x}"
    assert (added[0].token_yes, added[0].token_no) == ("11", "12")
    assert (added[0].tick_ticks, added[0].min_size_text, added[0].neg_risk) == (100, "5.5", True)
    assert follower.poll_new() == ()
    catalog.append(row(4, shard=0))
    catalog.append(row(5, shard=1))
    assert [entry.index for entry in follower.poll_new()] == [5]


def test_markets_that_end_or_trade_again_are_news(
    make_slots: Callable[[RegionKind], Slots],
) -> None:
    catalog = make_slots(RegionKind.CATALOG)
    for index in range(40):
        catalog.append(row(index))
    catalog.append(row(40, status=MarketStatus.CLOSED))
    follower = CatalogFollower(catalog, shard=0)
    assert len(follower.poll_new()) == 40
    assert follower.poll_status() == CatalogNews((), ())
    catalog.store(30, row(30, status=MarketStatus.RESOLVED))
    assert follower.poll_status() == CatalogNews((), (30,))
    assert follower.poll_status() == CatalogNews((), ())
    catalog.store(30, row(30))
    catalog.store(40, row(40))
    assert [entry.index for entry in follower.poll_status().added] == [30, 40]
    assert follower.poll_new() == ()


def test_take_over_leaves_no_book_trusted(make_slots: Callable[[RegionKind], Slots]) -> None:
    board = make_slots(RegionKind.BOARD)
    for index, flags in ((0, BookFlag.TRUSTED | BookFlag.SNAPSHOT), (3, BookFlag.SNAPSHOT)):
        record = np.zeros(1, BOARD)
        record["market"] = index
        record["flags"] = flags
        record["bid_ticks"][0][0] = 5_200
        board.store(index, record)
    assert distrust_board(board.segment) == 1
    first, other = board.load(0), board.load(3)
    assert first is not None
    assert other is not None
    assert first["flags"] == BookFlag.SNAPSHOT
    assert first["cause"] == UntrustCause.WRITER_RESTART
    assert first["bid_ticks"][0] == 5_200
    assert other["cause"] == UntrustCause.NONE
    assert distrust_board(board.segment) == 0
