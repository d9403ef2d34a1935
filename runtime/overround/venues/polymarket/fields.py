"""Reading other people's JSON: every accessor gives a checked value or raises VenueError.

The venue writes the same thing as number, text, empty text or null, depending on the endpoint
and the year. Numbers are kept as the text they were (no float ever exists), and what cannot be
read says which member of which object was seen.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Final

import msgspec

from overround.errors import VenueError
from overround.units import PRICE_TICKS_MAX, SIZE_LOTS_MAX
from overround.venues.contract import Side

TEXT_CHARS_MAX = 4096
"""Longest text member taken from outside."""

_DECIMAL = re.compile(r"([0-9]{1,20})(?:\.([0-9]{0,60}))?(?:[eE]([+-]?[0-9]{1,2}))?")
_MS_FROM = 100_000_000_000
"""Times below this are seconds (until the year 5138), above it milliseconds."""
_EPOCH_END = 100_000_000_000_000
_DECODER: Final = msgspec.json.Decoder(float_hook=str)


class _Required:
    """Marks a member without default: its absence is an error."""


_REQUIRED: Final = _Required()


def load_json(data: bytes | str, what: str) -> object:
    """Return the JSON value of these bytes, its fractions as text; VenueError if it is none."""
    try:
        return _DECODER.decode(data)
    except (ValueError, RecursionError) as error:
        raise VenueError(f"{what}: not JSON ({error}): {_shown(data)}") from None


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 80 else text[:77] + "..."


def scaled(text: str, places: int) -> tuple[int, bool]:
    """Return a plain decimal times 10**places rounded down, and whether that was exact.

    ValueError if the text is no unsigned decimal of sane length.
    """
    match = _DECIMAL.fullmatch(text)
    if match is None:
        raise ValueError(f"{_shown(text)} is not a decimal")
    whole, fraction, exponent = match.groups()
    fraction = fraction or ""
    digits = int(whole + fraction)
    shift = places - len(fraction) + int(exponent or 0)
    if shift >= 0:
        return digits * 10**shift, True
    value, rest = divmod(digits, 10**-shift)
    return value, rest == 0


def price_to_ticks(text: str) -> int:
    """Return the nearest tick, 0 to 10,000, of a price that may carry dust behind the grid.

    The venue reports implied prices (amount over amount) now and then. ValueError above 1.
    """
    fine, _ = scaled(text, 12)
    ticks = (2 * fine + 10**8) // (2 * 10**8)
    if ticks > PRICE_TICKS_MAX:
        raise ValueError(f"price {_shown(text)} is above 1")
    return ticks


def size_to_lots(text: str) -> int:
    """Return lots, rounded down; "" counts as 0. ValueError beyond 64 bits or if no decimal."""
    if not text:
        return 0
    lots, _ = scaled(text, 6)
    if lots > SIZE_LOTS_MAX:
        raise ValueError(f"size {_shown(text)} does not fit 64 bits")
    return lots


def time_to_epoch_ms(text: str) -> int:
    """Return wall milliseconds of seconds, milliseconds or ISO text; "" counts as 0."""
    if not text:
        return 0
    if text.isascii() and text.isdigit() and len(text) <= 20:
        number = int(text)
        number = number if number >= _MS_FROM else number * 1000
    else:
        moment = datetime.fromisoformat(text)
        if moment.tzinfo is None:
            moment = moment.replace(tzinfo=UTC)
        number = int(moment.timestamp() * 1000)
    if not 0 <= number < _EPOCH_END:
        raise ValueError(f"time {_shown(text)} is out of range")
    return number


class Fields:
    """The members of one JSON object; ``what`` names it in errors."""

    __slots__ = ("_members", "what")

    def __init__(self, value: object, what: str) -> None:
        if not isinstance(value, dict):
            raise VenueError(f"{what}: expected an object, saw {_shown(value)}")
        self._members = value
        self.what = what

    def raw(self, key: str) -> object:
        """Return the member as it came, None if absent."""
        return self._members.get(key)

    def bad(self, key: str, problem: object) -> VenueError:
        """Return the error that says what is wrong with a member."""
        return VenueError(f"{self.what}: {key}: {problem}")

    def text(self, key: str, default: str | _Required = _REQUIRED) -> str:
        """Return a text or whole number as text; null and absent take the default."""
        value = self._members.get(key)
        if value is None:
            if isinstance(default, _Required):
                raise self.bad(key, "missing")
            return default
        if isinstance(value, int) and not isinstance(value, bool) and abs(value) < 10**80:
            return str(value)
        if isinstance(value, float):  # only from a caller's own JSON reader
            return repr(value)
        if not isinstance(value, str) or len(value) > TEXT_CHARS_MAX:
            raise self.bad(key, f"expected a text, saw {_shown(value)}")
        return value

    def identity(self, key: str) -> str:
        """Return a required text that is not empty."""
        value = self.text(key)
        if not value:
            raise self.bad(key, "empty")
        return value

    def flag(self, key: str, default: bool = False) -> bool:
        """Return a truth value; null and absent take the default."""
        value = self._members.get(key)
        if value is None:
            return default
        if not isinstance(value, bool):
            raise self.bad(key, f"expected true or false, saw {_shown(value)}")
        return value

    def count(self, key: str, default: int = 0, maximum: int = 2**31 - 1) -> int:
        """Return a whole number, 0 to ``maximum``, given as number or text; "" is the default."""
        text = self.text(key, "")
        if not text:
            return default
        try:
            value, exact = scaled(text, 0)
        except ValueError as error:
            raise self.bad(key, error) from None
        if not exact or value > maximum:
            raise self.bad(key, f"expected a whole number up to {maximum}, saw {_shown(text)}")
        return value

    def ticks(self, key: str) -> int:
        """Return a required price as the nearest tick."""
        try:
            return price_to_ticks(self.text(key))
        except ValueError as error:
            raise self.bad(key, error) from None

    def lots(self, key: str, default: str | _Required = _REQUIRED) -> int:
        """Return a size in lots; "" counts as 0."""
        try:
            return size_to_lots(self.text(key, default))
        except ValueError as error:
            raise self.bad(key, error) from None

    def epoch_ms(self, *keys: str) -> int:
        """Return the first time given under one of these names in wall milliseconds, else 0."""
        for key in keys:
            text = self.text(key, "")
            try:
                if text:
                    return time_to_epoch_ms(text)
            except (ValueError, OverflowError) as error:
                raise self.bad(key, error) from None
        return 0

    def side(self, key: str) -> Side:
        """Return BUY or SELL in any letter case."""
        text = self.text(key)
        try:
            return Side[text.upper()]
        except KeyError:
            raise self.bad(key, f"expected BUY or SELL, saw {_shown(text)}") from None

    def list(self, key: str) -> list[object]:
        """Return an array; null and absent are empty."""
        value = self._members.get(key)
        if value is None:
            return []
        if not isinstance(value, list):
            raise self.bad(key, f"expected an array, saw {_shown(value)}")
        return value

    def texts(self, key: str) -> tuple[str, ...]:
        """Return an array of texts; null and absent are empty."""
        values = self.list(key)
        texts = tuple(value for value in values if isinstance(value, str))
        if len(texts) != len(values):
            raise self.bad(key, f"expected texts, saw {_shown(values)}")
        return texts
