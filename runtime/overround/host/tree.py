"""The machine's files below a root: ``/`` for the machine itself, a folder for a test or image."""

from __future__ import annotations

import os
from pathlib import Path

__all__ = ["Tree"]

_EVERY_BYTE = "latin-1"
"""Gives back exactly the bytes it was given, line ends and foreign letters too."""


class Tree:
    """Reads and writes files by their absolute names on the machine."""

    def __init__(self, root: Path = Path("/")) -> None:
        self.root = root

    @property
    def is_machine(self) -> bool:
        """Whether this is the running machine."""
        return self.root == Path("/")

    def at(self, name: str) -> Path:
        """Return where ``name`` lies."""
        return self.root / name.lstrip("/")

    def glob(self, pattern: str) -> list[str]:
        """Return the absolute names that match, sorted."""
        found = self.root.glob(pattern.lstrip("/"))
        return sorted("/" + str(path.relative_to(self.root)) for path in found)

    def read(self, name: str) -> str | None:
        """Return a file's text, None where it is absent or cannot be read."""
        try:
            return self.at(name).read_bytes().decode(_EVERY_BYTE)
        except OSError:
            return None

    def write(self, name: str, text: str) -> None:
        """Give a kernel file a value, in one write; OSError if it is refused."""
        fd = os.open(self.at(name), os.O_WRONLY | os.O_TRUNC | os.O_CLOEXEC)
        try:
            os.write(fd, text.encode(_EVERY_BYTE))
        finally:
            os.close(fd)

    def replace(self, name: str, text: str) -> None:
        """Make a file hold exactly ``text``, all at once; its mode stays if it was there."""
        path = self.at(name)
        fresh = path.with_name(f".{path.name}.new")
        fd = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o644)
        try:
            os.write(fd, text.encode(_EVERY_BYTE))
            os.fchmod(fd, path.stat().st_mode & 0o7777 if path.exists() else 0o644)
            os.fsync(fd)
        finally:
            os.close(fd)
        fresh.replace(path)
