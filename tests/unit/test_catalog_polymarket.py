"""Discovery: what is listed becomes markets and sets; what cannot be read is told, not lost."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from overround.errors import ConfigError, VenueError
from overround.venues import registry
from overround.venues.polymarket import rest
from overround.venues.polymarket.catalog import (
    parse_clob_market,
    parse_event,
    parse_events_page,
)

SET_ID = "0x" + "a8" * 31 + "00"


def market(position: int, **changes: Any) -> dict[str, Any]:
    return {
        "conditionId": f"0x{position + 1:064x}",
        "questionID": SET_ID[:-2] + f"{position:02x}",
        "question": f"Outcome {position}?",
        "slug": f"outcome-{position}",
        "groupItemTitle": f"Outcome {position}",
        "outcomes": '["Yes", "No"]',
        "outcomePrices": '["0.2", "0.8"]',
        "clobTokenIds": json.dumps([str(1000 + 2 * position), str(1001 + 2 * position)]),
        "orderPriceMinTickSize": 0.001,
        "orderMinSize": 5,
        "negRisk": True,
        "negRiskMarketID": SET_ID,
        "negRiskOther": False,
        "acceptingOrders": True,
        "enableOrderBook": True,
        "active": True,
        "closed": False,
        "feesEnabled": True,
        "feeSchedule": {"exponent": 1, "rate": 0.05, "takerOnly": True, "rebateRate": 0.25},
        **changes,
    }


def event(*markets: dict[str, Any], **changes: Any) -> bytes:
    members = {
        "id": "1",
        "negRisk": True,
        "negRiskAugmented": False,
        "negRiskMarketID": SET_ID,
        "markets": list(markets),
        **changes,
    }
    return json.dumps(members).encode()


def test_complete_event_becomes_a_complete_set_in_question_order() -> None:
    page = parse_event(event(market(2), market(0), market(1)))
    assert page.problems == []
    assert [spec.outcome_label for spec in page.markets] == [f"Outcome {n}" for n in range(3)]
    assert [spec.set_position for spec in page.markets] == [0, 1, 2]
    assert {(spec.set_id, spec.set_size, spec.set_complete) for spec in page.markets} == {
        (SET_ID, 3, True)
    }
    first = page.markets[0]
    assert (first.token_yes, first.token_no) == ("1000", "1001")
    assert (first.tick_ticks, first.min_size_lots) == (10, 5_000_000)
    assert (first.fee_rate_ppm, first.fee_exponent, first.neg_risk) == (50_000, 1, True)
    assert first.accepting_orders


@pytest.mark.parametrize(
    "doubtful",
    [
        event(market(0), market(1), negRiskAugmented=True),
        event(market(0), market(2)),
        event(market(0), market(1, negRiskOther=True)),
        event(market(0), market(1, outcomes='["No", "Yes"]')),
        event(market(0), market(1, negRisk=False)),
        event(market(0), market(1, negRiskMarketID="0x" + "bb" * 32)),
        event(market(0), market(1, acceptingOrders=False)),
        event(market(0), market(1, enableOrderBook=False)),
        event(market(0), market(1, closed=True)),
        event(market(0), market(1, closed=True, umaResolutionStatus="proposed")),
        event(market(0), market(1), market(2, clobTokenIds="[]")),
        event(market(0), market(1), market(2, orderPriceMinTickSize=None)),
        event(market(0)),
        event(
            market(0),
            market(1, closed=True, umaResolutionStatus="resolved", outcomePrices='["1", "0"]'),
            market(2),
        ),
        event(
            market(0),
            market(1, closed=True, umaResolutionStatus="resolved", outcomePrices='["0.5", "0.5"]'),
            market(2),
        ),
    ],
)
def test_doubtful_set_is_not_complete(doubtful: bytes) -> None:
    page = parse_event(doubtful)
    assert page.markets
    assert not any(spec.set_complete for spec in page.markets)


def test_member_that_lost_for_good_leaves_the_set() -> None:
    lost = market(1, closed=True, umaResolutionStatus="resolved", outcomePrices='["0", "1"]')
    page = parse_event(event(market(0), lost, market(2)))
    living = [spec for spec in page.markets if spec.set_id]
    assert [(s.set_position, s.set_size, s.set_complete) for s in living] == [
        (0, 2, True),
        (1, 2, True),
    ]
    (dead,) = (spec for spec in page.markets if not spec.set_id)
    assert (dead.resolved, dead.winner, dead.accepting_orders) == (True, 1, False)


def test_market_without_its_own_flag_signs_as_its_event_says() -> None:
    page = parse_event(event(market(0, negRisk=None), market(1)))
    assert all(spec.neg_risk and spec.set_complete for spec in page.markets)


def test_event_without_neg_risk_has_no_set() -> None:
    page = parse_event(event(market(0, negRisk=False), market(1, negRisk=False), negRisk=False))
    assert [spec.set_id for spec in page.markets] == ["", ""]


def test_unreadable_market_is_told_and_the_others_are_kept() -> None:
    broken = [
        market(1, conditionId="0x12"),
        market(2, conditionId=None),
        market(3, orderPriceMinTickSize=0.03),
        market(4, clobTokenIds='["12"]'),
        market(5, clobTokenIds="not json"),
        market(6, clobTokenIds='["0x1", "2"]'),
        market(7, orderMinSize="five"),
        market(8, negRisk="yes"),
    ]
    body = b'{"events":[' + event(market(0), *broken) + b',7],"next_cursor":"abc"}'
    page = parse_events_page(body)
    assert [spec.slug for spec in page.markets] == ["outcome-0"]
    assert len(page.problems) == len(broken) + 1
    assert page.next_cursor == "abc"


@pytest.mark.parametrize("body", [b"", b"null", b"7", b"{}", b'{"events":7}', b"[" * 9999])
def test_no_page_is_one_clear_error(body: bytes) -> None:
    with pytest.raises(VenueError):
        parse_events_page(body)


def test_cursor_ends() -> None:
    assert parse_events_page(b"[]").next_cursor is None
    for last in (b"null", b'""', b'"LTE="'):
        assert parse_events_page(b'{"events":[],"next_cursor":' + last + b"}").next_cursor is None


@pytest.mark.parametrize(
    ("changes", "rate_ppm"),
    [
        ({"feesEnabled": False, "feeSchedule": None}, 0),
        ({"feesEnabled": True, "feeSchedule": None}, None),
        ({"feesEnabled": None, "feeSchedule": None}, None),
        ({"feeSchedule": {"rate": "0.0725", "exponent": 2}}, 72_500),
        ({"feeSchedule": {"rate": 0.07, "exponent": 0.5}}, None),
        ({"feeSchedule": {"rate": 0.07, "exponent": 0}}, None),
        ({"feeSchedule": {"exponent": 1}}, None),
        ({"feesEnabled": False}, 0),
    ],
)
def test_fee_is_what_the_market_says_or_unknown(
    changes: dict[str, Any], rate_ppm: int | None
) -> None:
    (spec,) = parse_event(event(market(0, **changes))).markets
    assert spec.fee_rate_ppm == rate_ppm


def test_market_of_the_newer_protocol_uses_its_position_ids() -> None:
    changes = {"version": "v2", "positionIds": ["71", "72"]}
    (spec,) = parse_event(event(market(0, **changes))).markets
    assert (spec.protocol, spec.token_yes, spec.token_no) == (3, "71", "72")


def clob(**changes: Any) -> bytes:
    members = {
        "c": f"0x{1:064x}",
        "t": [{"t": "1000", "o": "Yes"}, {"t": "1001", "o": "No"}],
        "mos": 15,
        "mts": 0.01,
        "nr": True,
        "fd": {"r": 0.04, "e": 1, "to": True},
        "sd": 3,
        **changes,
    }
    return json.dumps(members).encode()


def test_exchange_parameters_replace_what_discovery_said() -> None:
    base = parse_event(event(market(0), market(1))).markets[0]
    spec = parse_clob_market(clob(), base)
    assert (spec.tick_ticks, spec.min_size_lots, spec.fee_rate_ppm) == (100, 15_000_000, 40_000)
    assert spec.taker_delay_ms == 3_000
    assert (spec.set_id, spec.set_complete, spec.slug) == (SET_ID, True, "outcome-0")
    free = json.loads(clob(itode=True, sd=0))
    del free["fd"], free["nr"], free["c"]
    spec = parse_clob_market(json.dumps(free).encode(), base)
    assert (spec.fee_rate_ppm, spec.neg_risk, spec.taker_delay_ms) == (0, False, 150)
    assert not parse_clob_market(clob(ao=False), base).accepting_orders
    alone = parse_clob_market(clob())
    assert (alone.condition_id, alone.outcome_label) == (base.condition_id, "Yes")


@pytest.mark.parametrize(
    "changes",
    [
        {"t": []},
        {"t": [{"t": "1"}, {"t": "2"}]},
        {"c": f"0x{9:064x}"},
        {"c": "0x9"},
        {"mts": 0.02},
        {"mts": None},
        {"mos": 0},
        {"fd": 5},
        {"sd": "soon"},
    ],
)
def test_unusable_exchange_parameters_are_one_clear_error(changes: dict[str, Any]) -> None:
    base = parse_event(event(market(0), market(1))).markets[0]
    with pytest.raises(VenueError):
        parse_clob_market(clob(**changes), base)


def test_requests_are_described_by_method_path_and_query() -> None:
    page = rest.events_page("a b=", slug="fed")
    assert page.target == "/events/keyset?limit=100&closed=false&slug=fed&after_cursor=a+b%3D"
    assert page.gamma
    assert rest.clob_market("0x1").target == "/clob-markets/0x1"


def test_registry_knows_every_part_of_every_venue() -> None:
    for name in registry.venue_names():
        assert registry.venue_number(name) == registry.venue_names().index(name)
        for part in registry.PARTS:
            assert registry.venue_part(name, part).__name__.endswith(part)
    with pytest.raises(ConfigError, match="venue 'predictwhat' is unknown"):
        registry.venue_number("predictwhat")
    with pytest.raises(ConfigError, match="part"):
        registry.venue_part("polymarket", "os")


@pytest.mark.recorded
def test_recorded_event_is_a_complete_set_of_five(recorded: Path) -> None:
    folder = recorded / "polymarket_rest"
    body = (folder / "negrisk_event_fed-june-2026_gamma-event.json").read_bytes()
    page = parse_events_page(b'{"events":[' + body + b"]}")
    assert page.problems == []
    assert [spec.set_position for spec in page.markets] == list(range(5))
    assert all(spec.set_complete and spec.set_size == 5 for spec in page.markets)
    by_id = {spec.condition_id: spec for spec in page.markets}
    for entry in json.loads((folder / "negrisk_event_fed-june-2026_clob-markets.json").read_text()):
        base = by_id[entry["c"]]
        assert parse_clob_market(json.dumps(entry).encode(), base) == base


@pytest.mark.recorded
def test_recorded_edge_cases_and_market_dump_are_read_or_told(recorded: Path) -> None:
    zstandard = pytest.importorskip("zstandard")
    folder = recorded / "polymarket_rest"
    cases = json.loads((folder / "gamma_market_edge_cases.json").read_text())
    page = parse_events_page(json.dumps([{"markets": list(cases.values())}]).encode())
    assert (len(page.markets), len(page.problems)) == (4, 2)
    assert not any(spec.accepting_orders for spec in page.markets)
    packed = (folder / "gamma_markets_20260311.jsonl.zst").read_bytes()
    lines = zstandard.ZstdDecompressor().decompressobj().decompress(packed).splitlines()
    page = parse_events_page(b'[{"markets":[' + b",".join(lines) + b"]}]")
    assert (len(page.markets), page.problems) == (775, [])
    assert sum(spec.fee_rate_ppm is None for spec in page.markets) == 159
