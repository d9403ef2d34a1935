"""One knob of the host, as its TOML file describes it."""

from __future__ import annotations

import tomllib
from collections.abc import Collection
from importlib.resources import files
from typing import Literal

import msgspec

from overround.errors import ConfigError
from overround.host.cpus import format_cpus, format_mask, parse_cpus, parse_mask

__all__ = ["PROFILES", "Knob", "load_knobs"]

PROFILES = ("laptop", "shared-vm", "bare-metal")

Kind = Literal["file", "dropin", "hold", "ethtool"]
Format = Literal["text", "choice", "cpus", "mask"]


class Knob(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a knob writes where, and why.

    ``kind``: ``file`` is a kernel file that takes a value; ``dropin`` is a file of our own in a
    folder of the system's; ``hold`` is a device that keeps a value while it is open; ``ethtool``
    is the network card's interrupt coalescing.
    """

    name: str
    summary: str
    why: str
    paths: tuple[str, ...]
    profiles: dict[str, str]
    kind: Kind = "file"
    format: Format = "text"
    refusal: Literal["fail", "skip"] = "fail"
    """``skip``: files that refuse the value are counted and left as they are."""
    requires: str = ""
    """The knob is absent where this file is."""
    then: str = ""
    """What the operator does for it to take effect."""

    def wanted(self, profile: str, hot: Collection[int], rest: Collection[int]) -> str | None:
        """Return the value for a profile, None if it leaves the knob alone.

        ``{hot}`` and ``{housekeeping}`` stand for the CPUs in the knob's own format; where no
        CPU is hot, a value that needs them is None too.
        """
        value = self.profiles.get(profile)
        if value is None or ("{" in value and not hot):
            return None
        shown = format_mask if self.format == "mask" else format_cpus
        value = value.replace("{hot}", shown(hot)).replace("{housekeeping}", shown(rest))
        return value.lstrip("\n") if self.kind == "dropin" else value

    def same(self, seen: str, wanted: str) -> bool:
        """Return whether what the file shows is what is wanted, however the kernel spells it."""
        if self.kind == "dropin":
            return seen == wanted
        seen, wanted = seen.strip(), wanted.strip()
        try:
            if self.format == "choice":
                return self.plain(seen) == wanted
            if self.format == "cpus":
                return parse_cpus(seen) == parse_cpus(wanted)
            if self.format == "mask":
                return parse_mask(seen) == parse_mask(wanted)
        except ValueError:
            return False
        return seen == wanted

    def plain(self, seen: str) -> str:
        """Return what to write so that the file shows ``seen`` again."""
        if self.format == "choice" and "[" in seen:
            return seen.partition("[")[2].partition("]")[0]
        return seen


def load_knobs(profiles: Collection[str] = PROFILES) -> tuple[Knob, ...]:
    """Return every knob by name. Raises ConfigError if a file of the table is malformed."""
    found = []
    for file in files("overround_tuning").joinpath("knobs").iterdir():
        name = file.name.removesuffix(".toml")
        try:
            table = tomllib.loads(file.read_text(encoding="utf-8"))
            knob = msgspec.convert({**table, "name": name}, Knob)
        except (tomllib.TOMLDecodeError, msgspec.ValidationError) as error:
            raise ConfigError(f"knob {file.name}: {error}") from error
        unknown = set(knob.profiles) - set(profiles)
        if unknown:
            raise ConfigError(f"knob {file.name}: profile {unknown.pop()!r} is none of {profiles}")
        found.append(knob)
    return tuple(sorted(found, key=lambda knob: knob.name))
