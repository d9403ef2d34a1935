"""One update of a book and both best prices: our ladder against flat arrays."""

from __future__ import annotations

from runner import peers
from runner.judge import Row, judge
from runner.kit import Kit

CAUSE = (
    "a ladder serves every tick size: it divides by its step and keeps a second bitmap level, "
    "which the flat book, made for one tick, does not"
)


def measure(kit: Kit, _: list[str]) -> list[Row]:
    """Return ``book_update``."""
    series = kit.series(
        kit.compile("book", "book.c", "book_ours.c", parts=("ladder",)), str(kit.rounds)
    )
    found = {
        name: float(value)
        for peer in ("books", "backtest")
        for name, value in peers.run(kit, peer).items()
    }
    notes = {"missed": CAUSE}
    return [judge("book_update", series["subject"], series["floor"], peers=found, notes=notes)]
