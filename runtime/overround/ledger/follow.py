"""A journal read while it is written: whole records in order, from any place, and no further.

The reader maps nothing and locks nothing: it reads the files as the page cache has them. A record
that is half written fails its checksum and is read again at the next call; the writer never
waits and never knows. A segment is left only when the next one names our next sequence as its
first, so a record appended just before a roll is never passed over.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from overround.ledger.journal import (
    HEADER_BYTES,
    PAYLOAD_BYTES_MAX,
    JournalDamage,
    JournalRecord,
    decode_record,
    file_header,
    first_sequence,
    segment_path,
)

__all__ = ["Follower", "Place"]

CHUNK_BYTES: Final = 1 << 20
"""Read at a time: thousands of records, and more than the longest one."""
assert CHUNK_BYTES > 2 * PAYLOAD_BYTES_MAX


@dataclass(frozen=True, slots=True)
class Place:
    """Where the next record is expected, and the last one before it (0, 0 at the beginning)."""

    segment: int = 0
    offset: int = HEADER_BYTES
    sequence: int = 0
    checksum: int = 0


class Follower:
    """Reads a journal's whole records beside its writer."""

    def __init__(self, folder: Path, place: Place | None = None) -> None:
        self.folder = folder
        self.place = place or Place()
        self._fd = -1
        self._opened = -1

    def poll(self, limit: int) -> list[JournalRecord]:
        """Return up to ``limit`` further records, none if there are none yet.

        Raises JournalDamage if the journal goes on behind our place in a way that is not its
        own: another segment is expected there, or a record with another sequence.
        """
        found: list[JournalRecord] = []
        while len(found) < limit:
            before = len(found)
            self._read(found, limit)
            if len(found) == before and not self._next_segment():
                break
        return found

    def _read(self, found: list[JournalRecord], limit: int) -> None:
        place = self.place
        data = self._bytes(place.segment, place.offset)
        at, sequence, checksum = 0, place.sequence, place.checksum
        while len(found) < limit:
            decoded = decode_record(data, at, place.segment, base=place.offset)
            if decoded is None:
                break
            record, end = decoded
            if record.sequence != sequence + 1:
                raise JournalDamage(
                    f"{segment_path(self.folder, place.segment)}: record {record.sequence} at byte "
                    f"{record.offset} where {sequence + 1} belongs; restore the folder from a copy"
                )
            found.append(record)
            at, sequence, checksum = end, record.sequence, record.checksum
        self.place = Place(place.segment, place.offset + at, sequence, checksum)

    def _bytes(self, segment: int, offset: int) -> bytes:
        if self._opened != segment:
            self.close()
            try:
                path = segment_path(self.folder, segment)
                self._fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
            except FileNotFoundError:
                return b""
            self._opened = segment
        return os.pread(self._fd, CHUNK_BYTES, offset)

    def _next_segment(self) -> bool:
        """Move on if the writer has; only the next header proves that nothing more comes here."""
        following = self.place.segment + 1
        try:
            with segment_path(self.folder, following).open("rb") as file:
                header = file.read(HEADER_BYTES)
        except FileNotFoundError:
            return False
        if header != file_header(following, self.place.sequence + 1):
            self._check_gap(following, header)
            return False  # not written yet, or this segment got more since we looked
        self.place = Place(following, HEADER_BYTES, self.place.sequence, self.place.checksum)
        return True

    def _check_gap(self, following: int, header: bytes) -> None:
        """Raise JournalDamage if the next segment goes on where this one has nothing to offer.

        Its header was written after the last record here, so what is missing now is lost.
        """
        first = first_sequence(following, header)
        place = self.place
        if first is None or first <= place.sequence:
            return
        if decode_record(self._bytes(place.segment, place.offset), 0, place.segment) is None:
            raise JournalDamage(
                f"{segment_path(self.folder, place.segment)}: no whole record at byte "
                f"{place.offset}, but the next segment goes on at record {first}; "
                "restore the folder from a copy"
            )

    def first(self) -> JournalRecord | None:
        """Return the journal's first record, None while it has none: it names the journal."""
        found = decode_record(self._bytes(0, HEADER_BYTES), 0, 0, base=HEADER_BYTES)
        return None if found is None else found[0]

    def resume(self, segment: int, offset: int, sequence: int, checksum: int) -> bool:
        """Go on after the record at this place; False, unmoved, if it is not this journal's."""
        found = decode_record(self._bytes(segment, offset), 0, segment, base=offset)
        if found is None or (found[0].sequence, found[0].checksum) != (sequence, checksum):
            return False
        self.place = Place(segment, offset + found[1], sequence, checksum)
        return True

    def close(self) -> None:
        """Give the file back."""
        if self._fd >= 0:
            os.close(self._fd)
        self._fd = self._opened = -1
