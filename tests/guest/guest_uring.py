"""Runs inside the emulated machine: the io_uring transport on Debian 12's own kernel, 6.1.

No test framework there: each function is called in turn, and a failed one ends the run.
"""

from __future__ import annotations

import platform
import select
import socket
import threading
import traceback
from typing import Any

from overround._native import ffi, lib
from overround.host.uring import Shape, probe

ANSWER = b"HTTP/1.1 101 Yes\r\n\r\n"
MESSAGES = 200

seen: list[bytes] = []


@ffi.def_extern()
def ovr_uring_on_text(_: Any, text: Any, length: int, recv_ns: int, number: int) -> None:
    """Keep what came."""
    assert recv_ns
    assert number == 7
    seen.append(bytes(ffi.buffer(text, length)))


class Ring:
    """A ring in one shape, with whoever drives it."""

    def __init__(self, shape: Shape) -> None:
        error = ffi.new("int *")
        config = {"on_text": lib.ovr_uring_on_text, "frame_bytes_max": 2**20, "links_max": 4}
        self.uring = lib.ovr_uring_create(
            ffi.new("struct ovr_uring_config *", {**config, "shape": shape.number}), error
        )
        assert self.uring != ffi.NULL, error[0]
        self.guest = shape is Shape.LOOP
        self.thread = threading.Thread(target=lib.ovr_uring_run, args=(self.uring,))
        if self.guest:
            assert lib.ovr_uring_start(self.uring) == 0
        else:
            self.thread.start()

    def turn(self) -> None:
        """Wait for the descriptor as a loop does, then do what there is to do."""
        select.select([lib.ovr_uring_fd(self.uring)], [], [], 0.05)
        lib.ovr_uring_step(self.uring)
        lib.ovr_uring_take(self.uring, ffi.new("struct ovr_uring_summary *"))

    def news(self, bit: int) -> Any:
        """Return the news that holds this bit."""
        found = ffi.new("struct ovr_uring_news *")
        for _ in range(600):
            self.turn()
            if lib.ovr_uring_news(self.uring, found) and found.bits & bit:
                return found
        raise AssertionError("no news")

    def close(self) -> None:
        if not self.guest:
            lib.ovr_uring_stop(self.uring)
            self.thread.join()
        lib.ovr_uring_destroy(self.uring)


def test_every_shape_is_granted() -> None:
    for shape in Shape:
        found = probe(shape)
        print(f"{platform.release()} {shape.value}: {found}")
        assert found.usable, found.cause


def test_messages_pass_in_every_shape() -> None:
    for shape in Shape:
        seen.clear()
        ring = Ring(shape)
        ours, theirs = socket.socketpair()
        slot = lib.ovr_uring_open(ring.uring, 7, ours.detach(), ffi.NULL, b"", b"GET", 3)
        assert slot >= 0
        theirs.sendall(ANSWER)
        ring.news(lib.OVR_URING_NEWS_ANSWER)
        assert lib.ovr_uring_accept(ring.uring, slot) == 0
        for number in range(MESSAGES):
            theirs.sendall(b"\x81\x04%04d" % number)
        for _ in range(600):
            if len(seen) == MESSAGES:
                break
            ring.turn()
        assert seen == [b"%04d" % number for number in range(MESSAGES)]
        theirs.close()
        assert ring.news(lib.OVR_URING_NEWS_ENDED).number == 7
        ring.close()


def run() -> int:
    """Run every test; return 1 at the first that fails."""
    for name, test in list(globals().items()):
        if name.startswith("test_"):
            try:
                test()
            except BaseException:
                traceback.print_exc()
                return 1
            print(f"ok {name}")
    return 0


if __name__ == "__main__":
    raise SystemExit(run())
