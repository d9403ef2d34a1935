"""Frames the exchange writes itself are frames as the protocol has them."""

from __future__ import annotations

import pytest

from overround.sim.sockets import server_frame


@pytest.mark.parametrize(
    ("size", "head"),
    [
        (0, b"\x81\x00"),
        (125, b"\x81\x7d"),
        (126, b"\x81\x7e\x00\x7e"),
        (65_535, b"\x81\x7e\xff\xff"),
        (65_536, b"\x81\x7f\x00\x00\x00\x00\x00\x01\x00\x00"),
    ],
)
def test_text_frames_carry_their_length(size: int, head: bytes) -> None:
    assert server_frame("x" * size) == head + b"x" * size


def test_bytes_become_a_binary_frame_and_text_is_utf8() -> None:
    assert server_frame(b"ab") == b"\x82\x02ab"
    assert server_frame("é") == b"\x81\x02\xc3\xa9"
