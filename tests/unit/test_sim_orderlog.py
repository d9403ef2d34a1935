"""The order log across a kill: what a dead process wrote is kept, what it owed is written once."""

from __future__ import annotations

import json
from pathlib import Path

from overround.sim.orderlog import OrderLog


def events(path: Path) -> list[tuple[int, str]]:
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    return [(line["command"], line["event"]) for line in lines]


def carry_out(log: OrderLog, number: int) -> None:
    """What one command writes, in a first life and in its replay alike."""
    log.command(number)
    log.write("accepted", order_id=str(number))
    log.write("trade", trade_id=f"{number}a")
    log.write("trade", trade_id=f"{number}b")


def test_only_the_lines_that_the_dead_process_owed_are_written(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    first = OrderLog(path)
    carry_out(first, 1)
    first.write("rejected", error="another order")
    first.command(2)
    first.write("accepted", order_id="2")
    first.write("trade", trade_id="2a")
    first.write("hit", fault="settle-late")  # and there it was killed, in the middle of a line
    first.close()
    with path.open("ab") as file:
        file.write(b'{"event":"trade","trade_')
    again = OrderLog(path)
    again.resume()
    for number in (1, 2, 3):
        carry_out(again, number)
    again.go_on()
    again.command(4)
    again.write("accepted", order_id="4")
    again.close()
    assert events(path) == [
        (1, "accepted"), (1, "trade"), (1, "trade"), (1, "rejected"),
        (2, "accepted"), (2, "trade"), (2, "hit"), (2, "trade"),
        (3, "accepted"), (3, "trade"), (3, "trade"), (4, "accepted"),
    ]  # fmt: skip


def test_a_log_that_is_empty_gets_the_whole_history(tmp_path: Path) -> None:
    log = OrderLog(tmp_path / "log.jsonl")
    log.resume()
    carry_out(log, 1)
    log.go_on()
    log.close()
    assert [event for _, event in events(tmp_path / "log.jsonl")] == ["accepted", "trade", "trade"]
