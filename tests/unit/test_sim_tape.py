"""The tape forgets the oldest prints first, of a market and of all markets."""

from __future__ import annotations

import pytest

from overround.match.types import Side
from overround.sim.tape import Print, Tape


def record(tape: Tape, market: int, epoch_s: int) -> None:
    tape.record(market, Print(epoch_s, 0, Side.BUY, 5_000, 10, 5, "0x1", "0x2"))


def times(tape: Tape, market: int) -> list[int]:
    return [done.epoch_s for done in tape.of(market).prints]


def test_prints_of_all_markets_are_bounded_together(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("overround.sim.tape.PRINTS_ALL_MAX", 6)
    tape = Tape()
    for second in range(9):
        record(tape, second % 3, second)
    assert [times(tape, market) for market in range(3)] == [[3, 6], [4, 7], [5, 8]]
    for second in range(9, 12):
        record(tape, 0, second)
    assert [times(tape, market) for market in range(3)] == [[6, 9, 10, 11], [7], [8]]


def test_a_busy_market_keeps_its_own_number(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("overround.sim.tape.PRINTS_ALL_MAX", 2_000)
    tape = Tape()
    for second in range(5_000):
        record(tape, 1, second)
    assert len(times(tape, 1)) >= 499
    assert times(tape, 1)[-1] == 4_999
