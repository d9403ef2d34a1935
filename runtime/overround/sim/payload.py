"""Reading what a stranger sent: every way in which it can be wrong is one ValueError."""

from __future__ import annotations

import json
from typing import Any

__all__ = ["plain_count", "read_json"]

DIGITS_MAX = 18
"""A count of this many digits fits 64 bits; Python refuses to read texts of thousands."""


def read_json(raw: bytes | str) -> Any:
    """Return parsed JSON. ValueError for what is none, is no UTF-8 or is nested beyond reason."""
    try:
        return json.loads(raw)
    except RecursionError:
        raise ValueError("nested too deeply") from None


def plain_count(text: str) -> int | None:
    """Return a number of ASCII digits, None for anything else."""
    plain = text.isascii() and text.isdigit() and len(text) <= DIGITS_MAX
    return int(text) if plain else None
