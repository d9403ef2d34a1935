"""The exchange's own record: one JSON line for everything that happened to a member's orders.

Each line is one unbuffered write before the answer leaves, so the record is never behind what a
client was told, even after ``kill -9``. Orders of the synthetic flow are left out; a trade in
which a member met the flow names the flow's side as account null.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import msgspec

from overround.clock import epoch_ms
from overround.errors import HostError

__all__ = ["OrderLog"]

BESIDE = frozenset(("fault", "heartbeat_lapsed", "hit", "rejected", "unjournaled"))
"""Lines that no command writes: a replay does not make them again, so they do not count."""


def _encode(line: dict[str, Any]) -> bytes:
    try:
        return msgspec.json.encode(line)
    except (UnicodeEncodeError, OverflowError):  # a stranger's text: half a surrogate pair
        return json.dumps(line, separators=(",", ":")).encode()


class OrderLog:
    """Append-only JSON lines; without a path it only counts."""

    def __init__(self, path: Path | None) -> None:
        """Open (and append to) ``path``; HostError if it cannot be written."""
        self.counts: dict[str, int] = {}
        self._fd = -1
        self._path = path
        self._number = 0
        self._written: tuple[int, int] | None = None
        """While a store is replayed: the last command with lines here, and how many of them."""
        if path is not None:
            try:
                self._fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
            except OSError as error:
                raise HostError(f"cannot write the log {path}: {error.strerror}") from None

    def write(self, event: str, **fields: Any) -> None:
        """Write one line; ``event`` is its kind."""
        self.counts[event] = self.counts.get(event, 0) + 1
        if self._fd >= 0 and not self._is_written():
            line = {"epoch_ms": epoch_ms(), "event": event, **fields}
            if self._number:
                line["command"] = self._number
            os.write(self._fd, _encode(line) + b"\n")

    def command(self, number: int) -> None:
        """Have the lines from now on carry the number of a command in the exchange's store."""
        self._number = number

    def resume(self) -> None:
        """Leave out the lines that a dead process wrote, and write those it died before.

        A torn last line is cut. Ends with ``go_on``.
        """
        self._written = 0, 0
        if self._path is None:
            return
        whole, _, torn = self._path.read_bytes().rpartition(b"\n")
        if torn:
            os.ftruncate(self._fd, len(whole) + 1 if whole else 0)
        last = count = 0
        for text in reversed(whole.splitlines()):
            line = msgspec.json.decode(text)
            if line["event"] in BESIDE:
                continue
            number = line.get("command", 0)
            if count and number != last:
                break
            last, count = number, count + 1
        self._written = last, count

    def go_on(self) -> None:
        """Write every line again."""
        self._written = None

    def _is_written(self) -> bool:
        if self._written is None:
            return False
        last, count = self._written
        if self._number != last:
            return self._number < last
        self._written = last, count - 1
        return count > 0

    def close(self) -> None:
        """Close the file; further lines are only counted."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1
