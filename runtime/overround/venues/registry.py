"""Venues by name. A new venue is one folder and one line here."""

from __future__ import annotations

from importlib import import_module
from types import ModuleType

from overround.errors import ConfigError

VENUES: dict[str, str] = {
    "polymarket": "overround.venues.polymarket",
}
"""Name to package. Position in this table is the venue's number in the catalog region."""

PARTS = ("amounts", "auth", "catalog", "fees", "orders", "rest", "wire")
"""Modules every venue package has."""


def venue_names() -> list[str]:
    """Return the names of all venues in the order of their numbers."""
    return list(VENUES)


def venue_number(name: str) -> int:
    """Return a venue's number in the catalog region; ConfigError if there is none."""
    if name not in VENUES:
        raise ConfigError(f"venue {name!r} is unknown: expected one of {', '.join(VENUES)}")
    return venue_names().index(name)


def venue_part(name: str, part: str) -> ModuleType:
    """Return one module of a venue, loaded on first use; ConfigError if there is none."""
    venue_number(name)
    if part not in PARTS:
        raise ConfigError(f"venue part {part!r} is unknown: expected one of {', '.join(PARTS)}")
    return import_module(f"{VENUES[name]}.{part}")
