"""The order path's native helpers against their slow twins."""

from __future__ import annotations

from Crypto.Hash import keccak
from hypothesis import given
from hypothesis import strategies as st

from overround.venues.polymarket.eip712 import keccak256


@given(st.binary(max_size=600))
def test_the_native_keccak_is_the_librarys(data: bytes) -> None:
    assert keccak256(data) == keccak.new(digest_bits=256, data=data).digest()
    assert keccak256(bytearray(data)) == keccak256(memoryview(data)) == keccak256(data)
