"""Plans, turns and chaos on a hand-turned clock; lines on a hand-run scheduler."""

from __future__ import annotations

import json
from random import Random
from typing import Any

import pytest

from oracle.sim_rig import Rig, Sink
from overround.errors import ConfigError
from overround.sim.faults import BY_NAME, SWITCHES, Faults
from overround.sim.flow import Flow, FlowSettings
from overround.sim.line import Line
from overround.sim.switchboard import (
    CHAOTIC,
    Plan,
    SkewedClock,
    Switchboard,
    parse_plan,
    random_plan,
)

UNITS = {"on", "times", "ms", "s", "requests", "tokens"}


class Board:
    """A switchboard over an exchange without sockets."""

    def __init__(self) -> None:
        self.rig = Rig()
        self.cut: list[str] = []
        self.clock = SkewedClock()
        flow = Flow(self.rig.exchange, 1, FlowSettings(rate=0))
        self.board = Switchboard(
            self.rig.exchange, flow, self, self.clock, self.rig.scheduler.later
        )
        self.faults = self.rig.exchange.faults

    def abort(self, channel: str) -> int:
        self.cut.append(channel)
        return 0


@pytest.fixture
def made() -> Board:
    return Board()


def test_the_table_is_whole() -> None:
    assert len(BY_NAME) == len(SWITCHES)
    for switch in SWITCHES:
        assert switch.unit in UNITS, switch.name
        assert switch.text.endswith((".", "(503).")), switch.name
        assert switch.seen, switch.name


@pytest.mark.parametrize(
    ("text", "plan"),
    [
        ("market-cut", Plan("market-cut")),
        ("answer-slow=500", Plan("answer-slow", 500)),
        ("answer-slow=0.5@3+2", Plan("answer-slow", 0.5, "", 3, 2)),
        ("asset-stalled/4+1.5", Plan("asset-stalled", 1, "4", 0, 1.5)),
        ("leg-stale=40/0xab@1", Plan("leg-stale", 40, "0xab", 1)),
    ],
)
def test_plans_are_read(text: str, plan: Plan) -> None:
    assert parse_plan(text) == plan


@pytest.mark.parametrize("text", ["", "no-such", "answer-slow=x", "answer-slow=1@", "market-cut 1"])
def test_plans_that_make_no_sense_are_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="--fault"):
        parse_plan(text)


def test_a_plan_goes_on_and_off_in_its_time(made: Board) -> None:
    made.board.run(Plan("cancel-only", 1, "", 2, 3))
    for after_ms, is_on in ((1_999, False), (2, True), (2_998, True), (2, False)):
        made.rig.scheduler.run(after_ms)
        assert made.faults.is_on("cancel-only") is is_on
    assert made.rig.exchange.log.counts["fault"] == 1


def test_a_later_turn_is_not_ended_by_an_earlier_one(made: Board) -> None:
    made.board.run(Plan("answer-slow", 100, "", 0, 1))
    made.rig.scheduler.run(500)
    made.board.run(Plan("answer-slow", 300, "", 0, 2))
    made.rig.scheduler.run(1_000)
    assert made.faults.value("answer-slow") == 300
    made.rig.scheduler.run(1_000)
    assert made.faults.values == {}


def test_a_restart_is_followed_by_post_only_mode(made: Board) -> None:
    made.board.put("restart", 5)
    made.rig.scheduler.run(5_000)
    assert made.faults.values == {"post-only": 120}
    made.rig.scheduler.run(119_999)
    assert made.faults.is_on("post-only")
    made.rig.scheduler.run(1)
    assert made.faults.values == {}


def test_markets_are_named_by_place_or_condition(made: Board) -> None:
    third = made.rig.exchange.catalog.markets[2].condition_id
    for name in ("2", third):
        made.board.run(Plan("asset-stalled", 1, name))
        assert made.faults.is_on("asset-stalled", third)
        assert not made.faults.is_on("asset-stalled", "0xelse")
        made.board.clear()
        assert made.faults.markets == {}
    with pytest.raises(KeyError):
        made.board.run(Plan("asset-stalled", 1, "99"))
    with pytest.raises(KeyError):
        made.board.run(Plan("no-such"))


def test_turns_that_act_by_themselves(made: Board) -> None:
    market = made.rig.exchange.catalog.markets[0]
    tick = market.rules.tick_ticks
    for name in ("market-cut", "user-cut", "book-stale", "sockets-refused", "clock-ahead",
                 "tick-changed"):  # fmt: skip
        made.board.put(name, 2)
    assert made.cut == ["market", "user"]
    assert made.faults.refuse_sockets
    assert made.faults.stale_books
    assert made.clock.ahead_ns == 2_000_000
    assert market.rules.tick_ticks < tick
    made.board.clear()
    assert (made.faults.refuse_sockets, made.faults.stale_books, made.clock.ahead_ns) == (
        False, None, 0,
    )  # fmt: skip
    assert market.rules.tick_ticks == tick


def test_chaos_repeats_by_its_seed_and_reaches_every_switch() -> None:
    def turns(seed: int) -> list[tuple[int, str]]:
        made = Board()
        seen: list[tuple[int, str]] = []
        made.rig.exchange.log.write = (  # type: ignore[method-assign]
            lambda _, **fields: seen.append((made.rig.scheduler.now_ns, fields["name"]))
        )
        made.board.start_chaos(seed)
        made.rig.scheduler.run(60_000)
        return seen

    first = turns(1)
    assert first == turns(1) != turns(2)
    assert 50 < len(first) < 130
    random = Random(5)
    plans = [random_plan(random) for _ in range(3_000)]
    assert {plan.name for plan in plans} == {switch.name for switch in CHAOTIC}
    for plan in plans:
        chaos = BY_NAME[plan.name].chaos
        assert chaos is not None
        assert 0 < plan.value <= chaos.most
        assert chaos.least_s <= plan.for_s <= chaos.most_s


# -- lines -------------------------------------------------------------------------------


def line_of(made: Board, channel: str = "market") -> tuple[Line, Sink]:
    sink = Sink()
    later = made.rig.scheduler.later
    return Line(channel, made.faults, sink.send, later), sink  # type: ignore[arg-type]


def change(market: str, number: int) -> str:
    entry = {"asset_id": "1", "price": "0.5", "size": str(number), "hash": "ab", "best_bid": "0"}
    event = {"market": market, "price_changes": [entry], "timestamp": "1"}
    return json.dumps({**event, "event_type": "price_change"})


def test_frames_keep_their_order_whatever_waits(made: Board) -> None:
    """Stalls that come and go delay frames of a market, and never reorder them."""
    random = Random(11)
    line, sink = line_of(made)
    sent = 0
    for _ in range(400):
        made.faults.put("leg-stale", random.choice((0, 0, 5, 80)), random.choice(("", "a")))
        made.faults.put("frames-stalled", random.choice((0, 0, 0, 30)))
        for _ in range(random.randint(1, 4)):
            sent += 1
            line.send(change(random.choice("ab"), sent))
        made.rig.scheduler.run(random.choice((0, 1, 40)))
    made.faults.values.clear()
    made.rig.scheduler.run(1_000)
    heard: dict[str, list[int]] = {"a": [], "b": []}
    for frame in sink.take():
        heard[frame["market"]].append(int(frame["price_changes"][0]["size"]))
    assert all(sizes == sorted(sizes) for sizes in heard.values())
    assert sorted(heard["a"] + heard["b"]) == list(range(1, sent + 1))


@pytest.mark.parametrize("channel", ["market", "user"])
def test_a_line_survives_any_text(made: Board, channel: str) -> None:
    line, sink = line_of(made, channel)
    texts: list[Any] = ["PONG", "INVALID OPERATION", b"\x00", "[]", "7", '"x"', "{", "[[1]]",
                        '{"mark":1}', '{"event_type":"price_change"}', '[{"a":1}]']  # fmt: skip
    for switch in SWITCHES:
        made.faults.put(switch.name, 3)
        for text in texts:
            line.send(text)
        made.faults.put(switch.name, 0)
        made.rig.scheduler.run(1_000)
    assert sink.texts.count("PONG") >= len(SWITCHES) - 1


def test_a_used_up_switch_is_off() -> None:
    faults = Faults()
    faults.put("delta-dropped", 2)
    assert [faults.take("delta-dropped") for _ in range(4)] == [True, True, False, False]
    assert (faults.values, faults.shown) == ({}, {"delta-dropped": 2})
    faults.fail_trades = 3
    faults.fail_trades -= 1
    assert (faults.fail_trades, faults.shown["trade-failed"]) == (2, 1)
    with pytest.raises(KeyError):
        faults.put("no-such", 1)
