"""The order path's native helpers against their slow twins."""

from __future__ import annotations

import struct

import pytest
from Crypto.Hash import keccak
from hypothesis import given
from hypothesis import strategies as st

from overround._native import ffi, lib
from overround.ledger.journal import HEADER_BYTES, Journal, segment_path
from overround.venues.polymarket.eip712 import keccak256


@given(st.binary(max_size=600))
def test_two_libraries_agree_on_keccak(data: bytes) -> None:
    assert keccak256(data) == keccak.new(digest_bits=256, data=data).digest()
    assert keccak256(bytearray(data)) == keccak256(memoryview(data)) == keccak256(data)


@given(
    records=st.lists(
        st.tuples(st.integers(1, 65_535), st.binary(max_size=300)), min_size=1, max_size=12
    )
)
def test_the_native_journal_record_is_the_packed_one(
    tmp_path_factory: pytest.TempPathFactory, records: list[tuple[int, bytes]]
) -> None:
    folder = tmp_path_factory.mktemp("journal")
    with Journal(folder, segment_bytes=2**16, sync_policy="none", epoch_ns=lambda: 77) as journal:
        for kind, payload in records:
            journal.append(kind, payload)
        _, end = journal.position
    packed = b"".join(pack(number, *record) for number, record in enumerate(records, 1))
    assert segment_path(folder, 0).read_bytes()[HEADER_BYTES:end] == packed


def pack(sequence: int, kind: int, payload: bytes) -> bytes:
    """A record as the format says, slowly."""
    length = (32 + len(payload) + 7) & ~7
    rest = struct.pack("<QQHHI", sequence, 77, kind, 0, len(payload)) + payload
    rest = rest.ljust(length - 8, b"\0")
    crc = lib.ovr_crc32c_table(0, ffi.from_buffer(rest), len(rest))
    return struct.pack("<II", length, crc) + rest
