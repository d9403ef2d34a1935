"""What makers have coming for a day, worked out from the exchange's log alone.

A market's pool is its share of the day's taker fees; a maker's part is what it would have paid
as a taker over what all makers would have. Below a dollar over all markets nothing is paid.

Trades among the exchange's own accounts have no line in its log, and they move the division's last
unit. So the exchange tells each market's sums when it pays (``rebate_pool``); here they have to
agree with the lines that there are, and a part is worked out of them.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable
from typing import Any, Final, NamedTuple

from oracle.campaign import venue_fee

DAY_MS: Final = 86_400_000
LEAST_MICRO: Final = 1_000_000
PPM: Final = 1_000_000
HOUSE_ODDS: Final = 100
ODDS_MICRO: Final = 100
"""A house trade's fee is its makers' equivalents but for the rounding of legs: a few units and one
per cent."""


class Schedule(NamedTuple):
    """A market's fee: rate and rebate share in millionths, exponent."""

    rate_ppm: int
    rebate_ppm: int
    exponent: int


def schedules(events: Iterable[dict[str, Any]]) -> dict[str, Schedule]:
    """Fee schedules by condition, from discovery's events; markets without a fee are left out."""
    found = {}
    for event in events:
        for market in event["markets"]:
            fee = market.get("feeSchedule")
            if fee:
                found[market["conditionId"]] = Schedule(
                    round(fee["rate"] * PPM), round(fee["rebateRate"] * PPM), int(fee["exponent"])
                )
    return found


def rebates(
    log: Iterable[dict[str, Any]], fees: dict[str, Schedule], day: int
) -> Counter[str | None]:
    """Micro-units by account (None: everybody who is no member) for the settled trades of a day."""
    lines = list(log)
    settled = {
        line["trade_id"]
        for line in lines
        if line["event"] == "settled" and line["status"] == "CONFIRMED"
    }
    pools: Counter[str] = Counter()
    parts: dict[str, Counter[str | None]] = defaultdict(Counter)
    for line in lines:
        market = line.get("market", "")
        if line["event"] != "trade" or line["trade_id"] not in settled or market not in fees:
            continue
        if line["epoch_ms"] // DAY_MS != day:
            continue
        fee = fees[market]
        pools[market] += line["fee_micro"] * fee.rebate_ppm
        for leg in line["makers"]:
            equal = venue_fee(leg["size_lots"], leg["price_ticks"], fee.rate_ppm, fee.exponent)
            parts[market][leg["account"]] += equal
    told = {
        line["market"]: (line["pool_micro"], line["equivalents_micro"])
        for line in lines
        if line["event"] == "rebate_pool" and line["day"] == day
    }
    sums: Counter[str | None] = Counter()
    for market, equals in parts.items():
        total = sum(equals.values())
        pool = pools[market] // PPM
        if market in told:
            pool, total = agreed(told[market], pools[market], total, fees[market])
        for account, equal in equals.items():
            if total and account is not None:
                sums[account] += pool * equal // total
    return Counter({who: micro for who, micro in sums.items() if micro >= LEAST_MICRO})


def agreed(told: tuple[int, int], pool_ppm: int, total: int, fee: Schedule) -> tuple[int, int]:
    """Return a market's sums as the exchange told them; AssertionError if the lines deny them."""
    pool_micro, equivalents_micro = told
    house = equivalents_micro - total
    wanted = (pool_ppm + house * fee.rebate_ppm) // PPM
    slack = house and ODDS_MICRO + house * fee.rebate_ppm // PPM // HOUSE_ODDS
    assert house >= 0, f"rebate pool {told}: the lines alone make {total}"
    assert abs(pool_micro - wanted) <= slack, f"rebate pool {told}: the lines make {wanted}"
    return told
