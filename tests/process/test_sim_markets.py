"""An exchange of many markets, as discovery sees it."""

from __future__ import annotations

import json
import subprocess
from collections import Counter

from oracle.sim_process import command, running
from overround.venues.contract import MarketSpec
from overround.venues.polymarket.catalog import parse_events_page

MARKETS = 400


def test_many_markets_are_listed_as_complete_sets_and_lone_ones() -> None:
    with running("--markets", str(MARKETS), "--rate", "300") as sim:
        specs: list[MarketSpec] = []
        cursor: str | None = ""
        while cursor is not None:
            after = f"&after_cursor={cursor}" if cursor else ""
            page = sim.get(f"/events/keyset?limit=100{after}")
            specs += parse_events_page(json.dumps(page).encode()).markets
            cursor = page.get("next_cursor")
        book = sim.get(f"/book?token_id={specs[-1].token_no}")
    assert len(specs) == len({spec.condition_id for spec in specs}) == MARKETS
    sets = Counter(spec.set_id for spec in specs if spec.set_id)
    assert len(sets) > 10
    for spec in specs:
        if spec.set_id:
            assert spec.set_complete
            assert spec.set_size == sets[spec.set_id]
            assert spec.neg_risk
    assert 0.1 < sum(sets.values()) / MARKETS < 0.6
    assert book["bids"]
    assert book["asks"]


def test_markets_out_of_range_are_refused() -> None:
    done = subprocess.run(
        command("--markets", "20001"), capture_output=True, text=True, check=False
    )
    assert done.returncode != 0
    assert "20000" in done.stderr.replace(",", "")
