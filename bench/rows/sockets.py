"""WebSocket rows: round trips, receiving into books, and system calls a message.

One server process spins on the first CPU (bench/limits/echo_server.c). This process holds the
second one and runs the clients in turn: a C client that spins (the floor), the runtime's io_uring
links in their spinning shape, and picows on uvloop with the loop kept busy.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import os
import subprocess
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import picows
import uvloop

from overround import clock
from overround.book.engine import FeedEngine
from overround.host.uring import Shape, probe
from runner import corpus, peers
from runner.judge import Row, Series, judge, unmeasured
from runner.kit import BUILD, CannotMeasure, Kit

ECHO_BYTES = 512
ECHOES = 1_000
WARM = 200
CAUSES = {
    "ws_rtt_native": "completions of a ring instead of one recv, a copy into the link's queue",
    "ws_rtt_native_tls": "memory BIOs copy each record once more than SSL_read on the socket does",
    "ws_rtt_picows": "the event loop's turn around every message",
    "ws_receive_native": "the floor looks at lengths only; the rest is decoding and the books",
}


class Server:
    """The echo server as a child process."""

    def __init__(self, kit: Kit, frames: Path, certificate: Path | None = None) -> None:
        program = kit.compile("echo_server", "echo_server.c", parts=())
        command = [str(program), str(frames)]
        if certificate is not None:
            command += [str(certificate), str(certificate.with_suffix(".key"))]
        # The server takes the second CPU of its list; ours is the last of the run's.
        cpus = ",".join(map(str, (kit.cpus[-1], kit.cpus[0])))
        self.process = subprocess.Popen(
            command, stdout=subprocess.PIPE, text=True,
            env={**os.environ, "BENCH_CPUS": cpus, "BENCH_FIFO": "1" if kit.fifo else "0"},
        )  # fmt: skip
        assert self.process.stdout is not None
        ports = self.process.stdout.readline().split()
        if not ports:
            raise CannotMeasure("the echo server did not start")
        self.plain = int(ports[0])
        self.secure = int(ports[1]) if len(ports) > 1 else 0

    def close(self) -> None:
        """End it."""
        self.process.kill()
        self.process.wait()
        assert self.process.stdout is not None
        self.process.stdout.close()


@contextlib.contextmanager
def serving(kit: Kit, frames: Path, certificate: Path | None = None) -> Iterator[Server]:
    """Yield a running server."""
    server = Server(kit, frames, certificate)
    try:
        yield server
    finally:
        server.close()


def make_certificate() -> Path:
    """Return a certificate for 127.0.0.1 that is its own authority; its key lies beside it."""
    path = BUILD / "loopback.pem"
    key = path.with_suffix(".key")
    if not path.exists():
        done = subprocess.run(
            ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256",
             "-nodes", "-days", "3650", "-subj", "/CN=loopback",
             "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", str(key), "-out", str(path)],
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        if done.returncode:
            raise CannotMeasure(f"no certificate: {done.stderr.strip().splitlines()[-1:]}")
    return path


class Clients:
    """The C clients as a library."""

    def __init__(self, kit: Kit) -> None:
        path = kit.compile("echo_client.so", "echo_client.c", flags=("-shared", "-fPIC"))
        self.lib = ctypes.CDLL(str(path))
        self.samples = (ctypes.c_uint64 * ECHOES)()

    def echo(self, name: str, port: int, ca: Path | None) -> tuple[float, float]:
        """Run a round; return p50 and p99 in ns."""
        failed = getattr(self.lib, f"{name}_echo")(
            port, None if ca is None else str(ca).encode(), ECHOES, self.samples
        )
        if failed:
            raise CannotMeasure(f"{name} client: line {failed} of echo_client.c failed")
        return quantiles(list(self.samples))

    def receive(self, port: int, count: int) -> float:
        """Receive so many messages in C; return ns."""
        took = ctypes.c_uint64()
        failed = self.lib.floor_receive(port, count, ctypes.byref(took))
        if failed:
            raise CannotMeasure(f"floor client: line {failed} of echo_client.c failed")
        return took.value

    def receive_into(self, port: int, engine: FeedEngine, count: int) -> tuple[float, int]:
        """Receive so many messages into books; return ns and the changes applied."""
        from overround._native import ffi

        took, changes = ctypes.c_uint64(), ctypes.c_uint64()
        feed = ctypes.c_void_p(int(ffi.cast("uintptr_t", engine.native_pointer)))
        failed = self.lib.native_receive(
            port, feed, count, ctypes.byref(took), ctypes.byref(changes)
        )
        if failed:
            raise CannotMeasure(f"native client: line {failed} of echo_client.c failed")
        return took.value, changes.value


def quantiles(values: list[int]) -> tuple[float, float]:
    """Return p50 and p99."""
    values.sort()
    return float(values[len(values) // 2]), float(values[len(values) * 99 // 100])


class PicowsEcho(picows.WSListener):  # type: ignore[misc]
    """Sends, waits for the answer, sends again; the loop never sleeps meanwhile."""

    def __init__(self) -> None:
        self.loop = asyncio.get_running_loop()
        self.done: asyncio.Future[None] = self.loop.create_future()
        self.took: list[int] = []
        self.text = b"x" * ECHO_BYTES

    def keep_busy(self) -> None:
        """Ask for another turn: uvloop then polls instead of sleeping."""
        if not self.done.done():
            self.loop.call_soon(self.keep_busy)

    def on_ws_connected(self, transport: Any) -> None:
        self.keep_busy()
        self.begun = clock.monotonic_ns()
        transport.send(picows.WSMsgType.TEXT, self.text)

    def on_ws_frame(self, transport: Any, frame: Any) -> None:
        now = clock.monotonic_ns()
        self.took.append(now - self.begun)
        if len(self.took) == ECHOES + WARM:
            self.done.set_result(None)
            transport.disconnect()
            return
        self.begun = clock.monotonic_ns()
        transport.send(picows.WSMsgType.TEXT, self.text)


async def _picows_echo(port: int) -> list[int]:
    _, listener = await picows.ws_connect(PicowsEcho, f"ws://127.0.0.1:{port}/echo")
    await listener.done
    return list(listener.took[WARM:])


def picows_echo(port: int) -> tuple[float, float]:
    """Run a round on a fresh loop; return p50 and p99 in ns."""
    return quantiles(uvloop.run(_picows_echo(port)))


def need_uring() -> None:
    """Raise CannotMeasure where io_uring is not to be had."""
    found = probe(Shape.SPIN)
    if not found.usable:
        raise CannotMeasure(f"no io_uring: {found.cause}")


def echo_rows(kit: Kit, names: list[str]) -> list[Row]:
    """Return the round-trip rows that are wanted."""
    frames = corpus.write("change", corpus.changes(64))
    certificate = make_certificate()
    clients, rows = Clients(kit), []
    refusals = kit.two_cpus()
    with serving(kit, frames, certificate) as server:
        runs: dict[str, tuple[int, Path | None, Callable[[], tuple[float, float]]]] = {
            "ws_rtt_native": (
                server.plain, None, lambda: clients.echo("native", server.plain, None)),
            "ws_rtt_native_tls": (
                server.secure, certificate,
                lambda: clients.echo("native", server.secure, certificate)),
            "ws_rtt_picows": (server.plain, None, lambda: picows_echo(server.plain)),
        }  # fmt: skip
        for name in names:
            port, ca, subject = runs[name]
            try:
                if name != "ws_rtt_picows":
                    need_uring()
                with kit.quiet(priority=2):
                    pair = alternate(kit, partial(clients.echo, "floor", port, ca), subject)
            except CannotMeasure as error:
                rows.append(unmeasured(name, str(error)))
                continue
            others = peers.run(kit, "websockets_echo", str(server.plain)) if ca is None else {}
            rows.append(
                judge(name, pair[1], pair[0], scale=1e-3, refusals=list(refusals),
                      peers={key: float(value) for key, value in others.items()},
                      notes={"missed": CAUSES[name]})
            )  # fmt: skip
    return rows


def alternate(
    kit: Kit,
    floor: Callable[[], tuple[float, float]],
    subject: Callable[[], tuple[float, float]],
    rounds: int | None = None,
) -> tuple[Series, Series]:
    """Run both in turn; return their series."""
    series = Series(), Series()
    for turn in range(-1, rounds or max(10, kit.rounds // 2)):
        for one, work in zip(series, (floor, subject), strict=True):
            p50, p99 = work()
            if turn >= 0:
                one.p50.append(p50)
                one.p99.append(p99)
    return series


def receive_row(kit: Kit) -> Row:
    """Messages a second into books, the half of them price changes, the half prints."""
    need_uring()
    made = corpus.Stream(messages=8_192)
    frames = corpus.write("stream", made.frames)
    clients = Clients(kit)
    count = len(made.frames)
    floor, subject, changes = Series(), Series(), 0
    with serving(kit, frames) as server, kit.quiet(priority=2):
        for turn in range(-1, max(10, kit.rounds // 3)):
            figures = [clients.receive(server.plain, count)]
            engine = made.engine()
            took, changes = clients.receive_into(server.plain, engine, count)
            figures.append(took)
            if turn >= 0:
                for one, figure in zip((floor, subject), figures, strict=True):
                    one.p50.append(count * 1e6 / figure)
    if changes < made.changes * 9 // 10:
        raise CannotMeasure(f"only {changes} of {made.changes} changes reached the books")
    size = sum(map(len, made.frames)) // count
    return judge(
        "ws_receive_native", subject, floor, refusals=kit.two_cpus(),
        notes={"bytes_per_message": size, "changes_applied": changes,
               "missed": CAUSES["ws_receive_native"]},
    )  # fmt: skip


def measure(kit: Kit, names: list[str]) -> list[Row]:
    """Return the rows of one connection."""
    kit.two_cpus()
    rows = echo_rows(kit, [name for name in names if name.startswith("ws_rtt")])
    if "ws_receive_native" in names:
        try:
            rows.append(receive_row(kit))
        except CannotMeasure as error:
            rows.append(unmeasured("ws_receive_native", str(error)))
    return rows
