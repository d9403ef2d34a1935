"""More markets than were recorded: a busy few, a long tail that hardly trades, half of it silent.

Shares follow the recorded listing of the whole venue: a third of the markets in complete sets,
ticks of 0.01 for two thirds and 0.001 for the rest, fees on one in seven, spreads from a tenth
of a cent to 95 cents. Markets are made in order of how busy they will be: the first ones have
deep books, the rest a few levels a side.
"""

from __future__ import annotations

import hashlib
import itertools
from random import Random

from overround.sim.catalog import Level, SimCatalog, SimEvent
from overround.sim.sizes import draw_size_lots, level_scale
from overround.units import PRICE_TICKS_MAX

__all__ = ["MARKETS_MAX", "populate"]

MARKETS_MAX = 20_000

DEEP_MARKETS = 64
"""So many markets, the busiest, have deep books."""

SET_SHARE = 0.08
"""Events that are complete sets: with five outcomes on average, a third of the markets."""

SET_OUTCOMES = (3, 8)
SET_TICKS = 10
FAIR_TICKS_MIN = 15
FINE_SHARE = 0.03
"""Lone markets of tick 0.001; with the sets' they are a third of all."""

FEE_SHARE = 0.14
FEES_PPM = (30_000, 40_000, 50_000, 70_000)
SPREADS = ((0.0, 10), (0.05, 10), (0.25, 90), (0.5, 300), (0.75, 3_750), (0.95, 9_500))
"""(share of markets, spread in ticks of at most), recorded over 1,275 markets."""

SPREAD_TICKS_MAX = 9_500
DEEP_LEVELS = (20, 40)
THIN_LEVELS = (2, 4)
SIZE_LOG = (5.47, 1.54)


def populate(catalog: SimCatalog, count: int, seed: int) -> None:
    """Add generated markets until the catalog lists ``count``; none if it does already."""
    random = Random(f"population/{seed}")
    while len(catalog.markets) < count:
        room = count - len(catalog.markets)
        if random.random() < SET_SHARE and room >= SET_OUTCOMES[0]:
            _add_set(catalog, min(random.randint(*SET_OUTCOMES), room), random)
        else:
            _add_lone(catalog, random)


def _drawn_spread(random: Random) -> int:
    share = random.random()
    for (below, low), (above, high) in itertools.pairwise(SPREADS):
        if share < above:
            return low + round((high - low) * (share - below) / (above - below))
    return SPREAD_TICKS_MAX


def _fee_ppm(random: Random) -> int:
    return random.choice(FEES_PPM) if random.random() < FEE_SHARE else 0


def _side(best: int, step: int, levels: int, random: Random) -> list[Level]:
    """Return levels from the best price outwards, one step apart, inside the grid."""
    prices = (best + step * depth for depth in range(levels))
    return [
        (price, draw_size_lots(random, *SIZE_LOG, level_scale(depth)))
        for depth, price in enumerate(prices)
        if 0 < price < PRICE_TICKS_MAX
    ]


def _depth(catalog: SimCatalog, random: Random) -> int:
    deep = len(catalog.markets) < DEEP_MARKETS
    return random.randint(*(DEEP_LEVELS if deep else THIN_LEVELS))


def _add_lone(catalog: SimCatalog, random: Random) -> None:
    number = len(catalog.markets)
    deep = number < DEEP_MARKETS
    middle = random.randint(1_000, 9_000) if deep else random.randint(200, 9_800)
    tick = 10 if random.random() < FINE_SHARE or not 400 <= middle <= 9_600 else 100
    spread = tick if deep else _drawn_spread(random)
    half = max(spread // 2, tick // 2)
    bid = min(max((middle - half) // tick * tick, tick), PRICE_TICKS_MAX - 2 * tick)
    ask = min(max(-(-(middle + half) // tick) * tick, bid + tick), PRICE_TICKS_MAX - tick)
    depth = _depth(catalog, random)
    market = catalog.add_market(
        question=f"Will event {number} happen?",
        slug=f"event-{number}",
        bids=_side(bid, -tick, depth, random),
        asks=_side(ask, tick, depth, random),
        tick_ticks=tick,
        fee_rate_ppm=_fee_ppm(random),
    )
    market.rank = market.index


def _fair_prices(outcomes: int, random: Random) -> list[int]:
    """Return prices in ticks that sum to one, none of them nearly nothing."""
    weights = [random.gammavariate(0.6, 1.0) + 0.001 for _ in range(outcomes)]
    room = PRICE_TICKS_MAX - FAIR_TICKS_MIN * outcomes
    fair = [FAIR_TICKS_MIN + int(room * weight / sum(weights)) for weight in weights]
    fair[0] += PRICE_TICKS_MAX - sum(fair)
    return fair


def _add_set(catalog: SimCatalog, outcomes: int, random: Random) -> None:
    """Add a complete set whose bids sum to less than one and whose asks to more."""
    number = len(catalog.events)
    slug = f"contest-{number}"
    set_id = "0x" + hashlib.sha256(f"set/{slug}".encode()).hexdigest()[:62] + "00"
    title = f"Who wins contest {number}?"
    event_id = str(900_000 + len(catalog.markets))
    gamma = {"id": event_id, "slug": slug, "title": title, "negRiskMarketID": set_id}
    event = SimEvent(event_id, slug, title, set_id, gamma)
    catalog.events.append(event)
    fee_ppm = _fee_ppm(random)
    depth = _depth(catalog, random)
    for place, fair in enumerate(_fair_prices(outcomes, random)):
        bid = (fair - 1) // SET_TICKS * SET_TICKS
        market = catalog.add_market(
            question=f"Does contestant {place} win contest {number}?",
            slug=f"{slug}-contestant-{place}",
            bids=_side(bid, -SET_TICKS, depth, random),
            asks=_side(bid + 2 * SET_TICKS, SET_TICKS, depth, random),
            tick_ticks=SET_TICKS,
            fee_rate_ppm=fee_ppm,
            event=event,
        )
        market.rank = market.index
        market.gamma = {
            "questionID": f"{set_id[:-2]}{place:02x}",
            "negRiskMarketID": set_id,
            "groupItemTitle": f"Contestant {place}",
        }
