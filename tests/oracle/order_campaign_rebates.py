"""What makers have coming for a day, worked out from the exchange's log alone.

A market's pool is its share of the day's taker fees; a maker's part is what it would have paid
as a taker over what all makers would have. Below a dollar over all markets nothing is paid.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable
from typing import Any, Final, NamedTuple

from oracle.campaign import venue_fee

DAY_MS: Final = 86_400_000
LEAST_MICRO: Final = 1_000_000
PPM: Final = 1_000_000


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
    sums: Counter[str | None] = Counter()
    for market, equals in parts.items():
        total = sum(equals.values())
        for account, equal in equals.items():
            if total and account is not None:
                sums[account] += pools[market] // PPM * equal // total
    return Counter({who: micro for who, micro in sums.items() if micro >= LEAST_MICRO})
