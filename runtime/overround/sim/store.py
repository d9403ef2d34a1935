"""The exchange's own durable log: every command it carried out, written before it took effect.

A file of JSON lines. The first one (the header) holds what the run was started with; every other
is ``[number, epoch_ns, name, arguments]``. The engine draws nothing from chance or the clock but
through these, so doing them again in order gives the same orders, trades, balances and ids.

A line is one write before anything else happens: after ``kill -9`` a command is either in the
file, and done again on the way up, or was never carried out, and nobody was told it was. A torn
last line is cut. What a dead *machine* loses is what its kernel had not written back.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from overround.errors import ConfigError, HostError

__all__ = ["Command", "Store"]

FORMAT = 1
_ENCODE = msgspec.json.Encoder().encode


class Command(NamedTuple):
    """One line: its number (from 1), the exchange's wall time, and what was done."""

    number: int
    epoch_ns: int
    name: str
    arguments: list[Any]


class Store:
    """The file, open for appending. ``header`` and ``commands`` are what was in it before."""

    def __init__(self, path: Path, header: dict[str, Any], *, resume: bool) -> None:
        """Start a new file, or with ``resume`` go on with an old one and take its header.

        ConfigError if there is none to resume, or one that a new run would overwrite;
        HostError if it cannot be written.
        """
        self.path = path
        self.commands: list[Command] = []
        self.header = {"format": FORMAT, **header}
        self.number = 0
        flags = os.O_RDWR | os.O_APPEND | os.O_CLOEXEC
        try:
            if resume:
                self._fd = os.open(path, flags)
            else:
                self._fd = os.open(path, flags | os.O_CREAT | os.O_EXCL, 0o600)
        except FileNotFoundError:
            raise ConfigError(f"--resume: there is no {path}; leave it out for a new run") from None
        except FileExistsError:
            raise ConfigError(
                f"--store {path} holds an earlier run: --resume goes on with it, or name another"
            ) from None
        except OSError as error:
            raise HostError(f"cannot write {path}: {error.strerror}") from None
        if resume:
            self._read()
        else:
            self._write(self.header)

    def _read(self) -> None:
        whole, _, torn = self.path.read_bytes().rpartition(b"\n")
        if torn:
            os.ftruncate(self._fd, len(whole) + 1 if whole else 0)
        lines = whole.split(b"\n")
        try:
            self.header = msgspec.json.decode(lines[0])
            if self.header["format"] != FORMAT:
                raise ValueError(self.header["format"])
            self.commands = [msgspec.json.decode(line, type=Command) for line in lines[1:]]
        except (msgspec.MsgspecError, KeyError, TypeError, ValueError) as wrong:
            raise ConfigError(f"{self.path} is no log of an exchange: {wrong}") from None
        if [command.number for command in self.commands] != list(range(1, len(lines))):
            raise ConfigError(f"{self.path}: its commands are not numbered without a gap")
        self.number = len(self.commands)

    def _write(self, line: Any) -> None:
        data = _ENCODE(line) + b"\n"
        if os.write(self._fd, data) != len(data):
            raise HostError(f"cannot write {self.path}: the disk is full")

    def append(self, epoch_ns: int, name: str, arguments: list[Any]) -> int:
        """Write a command down and return its number; call before carrying it out."""
        self.number += 1
        self._write((self.number, epoch_ns, name, arguments))
        return self.number

    def close(self) -> None:
        """Close the file; nothing can be appended afterwards."""
        os.close(self._fd)
