"""Where io_uring is refused, picows serves and the cause is named; ``on`` refuses to start.

The refusals are real: a seccomp filter in the child, which also forbids libuv its own ring.
"""

from __future__ import annotations

import errno
from pathlib import Path

import pytest

from oracle.ingress_rig import QUICK, IngressRig
from oracle.seccomp import refuse_io_uring
from oracle.venue_script import ScriptBook, VenueScript
from overround.host.uring import Shape, probe
from overround.observe.metrics import Value


def make_book() -> ScriptBook:
    return ScriptBook("0x" + "1" * 64, "71", "72", bids={5_000: 100}, asks={5_100: 200})


def make_rig(folder: Path, venue: VenueScript, native: str, shape: str = "loop") -> IngressRig:
    ingress = QUICK.model_copy(update={"native": native, "native_shape": shape})
    return IngressRig(folder, venue, ingress)


@pytest.mark.parametrize(
    ("error", "cause"),
    [(errno.EPERM, "a seccomp filter forbids it"), (errno.ENOSYS, "has no io_uring")],
)
async def test_auto_falls_back_to_picows_and_names_the_cause(
    tmp_path: Path, error: int, cause: str
) -> None:
    book = make_book()
    async with VenueScript([book]) as venue:
        rig = make_rig(tmp_path, venue, "auto")
        rig.before_exec = lambda: refuse_io_uring(error)
        async with rig:
            rig.list_market(book)
            await rig.until_trusted(0)
            await venue.peer.send(book.change("BUY", 5_000, 70))
            await rig.until(lambda: rig.same(0, book))
            assert rig.meters.value(Value.URING_SHAPE) == 0
            warned = [line for line in rig.log.splitlines() if "no io_uring" in line]
            assert len(warned) == 1
            assert cause in warned[0]
            assert errno.errorcode[error] in warned[0]


async def test_on_refuses_to_start_and_says_why(tmp_path: Path) -> None:
    async with VenueScript([make_book()]) as venue:
        rig = make_rig(tmp_path, venue, "on", "thread")
        rig.before_exec = lambda: refuse_io_uring(errno.EPERM)
        try:
            with pytest.raises(AssertionError, match="ingress ended with 1"):
                await rig.start()
            assert "ingress.native is on, but there is no io_uring here" in rig.log
            assert "seccomp" in rig.log
        finally:
            rig.instance.unlink()


@pytest.mark.parametrize("native", ["off", "auto"])
async def test_loop_that_never_sleeps_serves_the_same_books(tmp_path: Path, native: str) -> None:
    book = make_book()
    ingress = QUICK.model_copy(update={"native": native, "busy_loop": True})
    async with VenueScript([book]) as venue, IngressRig(tmp_path, venue, ingress) as rig:
        rig.list_market(book)
        await rig.until_trusted(0)
        for size in (70, 80, 90):
            await venue.peer.send(book.change("BUY", 5_000, size))
        await rig.until(lambda: rig.same(0, book))
        assert rig.losses(0) == []
        assert await rig.stop() == 0


@pytest.mark.parametrize("shape", list(Shape))
async def test_shape_that_serves_is_shown(tmp_path: Path, shape: Shape) -> None:
    if not (found := probe(shape)).usable:
        pytest.skip(found.cause)
    book = make_book()
    async with VenueScript([book]) as venue, make_rig(tmp_path, venue, "auto", shape) as rig:
        rig.list_market(book)
        await rig.until_trusted(0)
        await rig.until(lambda: rig.meters.value(Value.URING_ENTERS) > 0)
        assert rig.meters.value(Value.URING_SHAPE) == shape.number + 1
        assert await rig.stop() == 0
