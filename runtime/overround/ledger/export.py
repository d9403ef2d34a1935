"""The ledger as JSON lines, from the live positions or from a journal alone."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import msgspec

from overround.ledger.journal import replay
from overround.ledger.positions import FillState, Positions
from overround.ledger.records import Fill, decode

__all__ = ["ledger_lines", "rebuild", "write_ledger"]


def rebuild(folder: Path) -> Positions:
    """Return the positions that a journal's whole records lead to; changes nothing on disk."""
    positions = Positions()
    for raw in replay(folder):
        positions.apply(decode(raw))
    return positions


def ledger_lines(
    positions: Positions, fills: Iterable[tuple[Fill, FillState]] | None = None
) -> Iterable[dict[str, Any]]:
    """Yield the summary, then every position, then every fill ever booked, as plain values.

    ``fills`` are all of them where ``positions`` has let some go.
    """
    view = positions.view()
    yield {
        "kind": "summary",
        "opening_cash_micro": positions.opening_cash_micro,
        "cash_micro": view.cash_micro,
        "fees_micro": view.fees_micro,
        "pnl_micro": view.pnl_micro,
        "worst_micro": view.worst_micro,
        "pending_fills": view.pending_fills,
    }
    for token, holding in positions.holdings.items():
        yield {"kind": "position", "token": token, **_plain(holding)}
    for fill, state in positions.fills() if fills is None else fills:
        yield {"kind": "fill", "state": state.name, **_plain(fill)}


def _plain(value: Any) -> dict[str, Any]:
    names = getattr(value, "__struct_fields__", None) or value.__dataclass_fields__
    return {name: getattr(value, name) for name in names}


def write_ledger(
    path: Path, positions: Positions, fills: Iterable[tuple[Fill, FillState]] | None = None
) -> int:
    """Write the ledger beside ``path`` and move it there whole; return the lines written."""
    count = 0
    partial = path.with_name(path.name + ".partial")
    with partial.open("wb") as file:
        for line in ledger_lines(positions, fills):
            file.write(msgspec.json.encode(line) + b"\n")
            count += 1
    partial.replace(path)
    return count
