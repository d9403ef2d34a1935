"""Checkpoints: what a journal's records led to, kept beside it so that a start need not read all.

One file each, ``checkpoint-SEQUENCE.ovc``, written aside, synced and moved into place whole::

    magic 8 | CRC32C of what follows u32 | version u32 | segment, offset, sequence u64 | record's
    checksum u32 | 0 u32 | size u64 | fingerprint 32 bytes | state

A checkpoint is an aid and never the truth. It is used only if it is whole, was written by the
very code that reads it (``fingerprint``), and the journal still has the record it ends with, to
the checksum. Otherwise an older one serves, or the journal from its first record.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from struct import Struct
from typing import Final

from overround._native import ffi, lib
from overround.ledger.journal import Checkpoint, JournalDamage, JournalRecord, read_record

__all__ = ["find_checkpoint", "write_checkpoint"]

MAGIC: Final = b"OVRCHKP\x01"
VERSION: Final = 1
KEPT: Final = 2
"""Files that stay: the newest, and one to fall back to."""
_HEAD: Final = Struct("<8sI")
_BODY: Final = Struct("<IQQQIIQ32s")


def _path(folder: Path, sequence: int) -> Path:
    return folder / f"checkpoint-{sequence:012d}.ovc"


def _crc(data: bytes) -> int:
    return int(lib.ovr_crc32c(0, ffi.from_buffer(data), len(data)))


def _write(path: Path, *parts: bytes) -> None:
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    with os.fdopen(fd, "wb") as file:
        file.writelines(parts)
        file.flush()
        os.fsync(file.fileno())


def write_checkpoint(folder: Path, checkpoint: Checkpoint, fingerprint: bytes) -> Path:
    """Write a checkpoint durably and drop the oldest ones; ``fingerprint`` is 32 bytes.

    Raises OSError if the disk does not take it; nothing is lost by that.
    """
    last = checkpoint.last
    body = _BODY.pack(
        VERSION, last.segment, last.offset, last.sequence, last.checksum, 0,
        len(checkpoint.state), fingerprint,
    ) + checkpoint.state  # fmt: skip
    path = _path(folder, last.sequence)
    for left in folder.glob("checkpoint-*.partial"):  # by a start that was killed
        left.unlink()
    partial = path.with_suffix(".partial")
    try:
        _write(partial, _HEAD.pack(MAGIC, _crc(body)), body)
        partial.replace(path)
    except OSError:
        partial.unlink(missing_ok=True)  # a full disk: the journal needs the room
        raise
    folder_fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(folder_fd)
    finally:
        os.close(folder_fd)
    for old in sorted(folder.glob("checkpoint-*.ovc"))[:-KEPT]:
        old.unlink()
    return path


def find_checkpoint(
    folder: Path, fingerprint: bytes, told: Callable[[str], None] = lambda _: None
) -> Checkpoint | None:
    """Return the newest checkpoint that can be used, None if there is none.

    ``told`` hears why a newer one cannot.
    """
    for path in sorted(folder.glob("checkpoint-*.ovc"), reverse=True):
        try:
            return _read(path, folder, fingerprint)
        except (OSError, ValueError, JournalDamage) as error:
            told(f"{path.name} is not used: {error}")
    return None


def _read(path: Path, folder: Path, fingerprint: bytes) -> Checkpoint:
    data = path.read_bytes()
    if len(data) < _HEAD.size + _BODY.size:
        raise ValueError("it is cut short")
    magic, checksum = _HEAD.unpack_from(data)
    body = data[_HEAD.size :]
    if magic != MAGIC or _crc(body) != checksum:
        raise ValueError("its checksum is wrong")
    version, segment, offset, sequence, record, _, size, writer = _BODY.unpack_from(body)
    state = body[_BODY.size :]
    if version != VERSION or size != len(state) or writer != fingerprint:
        raise ValueError("another build wrote it")
    last: JournalRecord = read_record(folder, segment << 32 | offset)
    if (last.sequence, last.checksum) != (sequence, record):
        raise ValueError("the journal has another record in its place")
    return Checkpoint(last, state)
