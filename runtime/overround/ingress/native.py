"""WebSocket connections by number, on io_uring: the same as ``transport.Links``, without Python.

Frames go from the kernel's buffer through TLS, framing and decoder into the books in native code;
Python dials, checks the opening handshake, and hears of what is rare. Three shapes: a guest of the
event loop (one native call a wake-up works on everything that has arrived, on every connection),
or a thread of its own that holds no GIL and either sleeps in the kernel or never sleeps.

The engine then belongs to that thread: :class:`GuardedEngine` and ``TapWriter.guard`` take the
ring's mutex for one call at a time.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import ssl
import threading
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import structlog

from overround._native import ffi, lib
from overround.book.engine import FeedEngine
from overround.errors import HostError
from overround.host.uring import Shape
from overround.ingress.handshake import build_request, check_answer, new_key, parse_url
from overround.ingress.transport import LinksOwner
from overround.layout.board import UntrustCause
from overround.observe.metrics import Value
from overround.shm.tap import TapWriter

__all__ = ["GuardedEngine", "NativeLinks"]

_NORMAL = 1000

_OPENING = "opening"


class _Guard(contextlib.AbstractContextManager[None]):
    """The ring's mutex; the same thread may take it again."""

    def __init__(self, uring: Any) -> None:
        self._uring = uring

    def __enter__(self) -> None:
        lib.ovr_uring_lock(self._uring)

    def __exit__(self, *_: object) -> None:
        lib.ovr_uring_unlock(self._uring)


class GuardedEngine(FeedEngine):
    """A feed engine that a thread of the ring may be working on at the same time.

    What only reads single words (``market_state``, the counts) needs no guard.
    """

    guard: contextlib.AbstractContextManager[object] = contextlib.nullcontext()

    def add_market(self, *args: Any, **more: Any) -> None:
        """Add a market; see ``FeedEngine``."""
        with self.guard:
            super().add_market(*args, **more)

    def on_rest_books(self, buffer: Any, recv_ns: int, connection: int = 0) -> Any:
        """Compare and splice the books of a REST answer."""
        with self.guard:
            return super().on_rest_books(buffer, recv_ns, connection)

    def flush(self, now_ns: int) -> Any:
        """End bursts that went quiet."""
        with self.guard:
            return super().flush(now_ns)

    def untrust(self, index: int, cause: UntrustCause, now_ns: int) -> None:
        """Withdraw trust from one market."""
        with self.guard:
            super().untrust(index, cause, now_ns)

    def take_resync(self) -> list[int]:
        """Return the markets that need a snapshot."""
        with self.guard:
            return super().take_resync()


class _Link:
    """One connection, from dialling to its end."""

    def __init__(self, connection: int, loop: asyncio.AbstractEventLoop) -> None:
        self.connection = connection
        self.slot = -1
        self.opened = False
        self.told = False
        self.answered: asyncio.Future[None] = loop.create_future()
        self.ended: asyncio.Future[str] = loop.create_future()


class NativeLinks:
    """The connections of one process to one URL, on one ring."""

    def __init__(
        self,
        url: str,
        owner: LinksOwner,
        *,
        frame_bytes_max: int,
        connect_timeout_s: float,
        on_fatal: Callable[[BaseException], None],
        shape: Shape = Shape.LOOP,
        engine: GuardedEngine | None = None,
        tap: TapWriter | None = None,
        burst_ns: int = 0,
        links_max: int = 1_024,
        ca_file: str | None = None,
        cpus: Iterable[int] = (),
    ) -> None:
        """Make the ring; open nothing yet. Needs a running loop.

        ``engine`` takes the text messages; without one they go to ``owner.on_frame``. ``ca_file``
        replaces the machine's certificate authorities. ``cpus`` is where the ring's own thread may
        run. Raises HostError if the ring or the authorities cannot be had.
        """
        self._owner = owner
        self._log = structlog.get_logger()
        self._target = parse_url(url)
        self._connect_timeout_s = connect_timeout_s
        self._on_fatal = on_fatal
        self._shape = shape
        self._cpus = frozenset(cpus)
        self._loop = asyncio.get_running_loop()
        self._links: dict[int, _Link] = {}
        self._tasks: dict[int, asyncio.Task[None]] = {}
        self._soon = False
        self._stopped = False
        self._fed = engine is not None
        self._keep = (engine, tap)
        self._tls = _tls_context(ca_file) if self._target.secure else ffi.NULL
        self._handle = ffi.new_handle(self)
        self._summary = ffi.new("struct ovr_uring_summary *")
        self._news = ffi.new("struct ovr_uring_news *")
        self._uring = self._create(
            {
                "feed": ffi.NULL if engine is None else engine.native_pointer,
                "on_text": lib.ovr_uring_on_text if engine is None else ffi.NULL,
                "user": self._handle,
                "tap": ffi.NULL if tap is None else tap.native_pointer,
                "frame_bytes_max": frame_bytes_max,
                "burst_ns": burst_ns,
                "links_max": links_max,
                "shape": shape.number,
            }
        )
        if shape is not Shape.LOOP:
            guard = _Guard(self._uring)
            if engine is not None:
                engine.guard = guard
            if tap is not None:
                tap.guard = guard
        self._thread = threading.Thread(target=self._drive, name="ring", daemon=True)
        self._begin()

    def _create(self, config: dict[str, Any]) -> Any:
        error = ffi.new("int *")
        uring = lib.ovr_uring_create(ffi.new("struct ovr_uring_config *", config), error)
        if uring == ffi.NULL:
            raise HostError(f"no io_uring transport: {os.strerror(-error[0])}")
        return ffi.gc(uring, lib.ovr_uring_destroy)

    def _begin(self) -> None:
        if self._shape is Shape.LOOP:
            status = lib.ovr_uring_start(self._uring)
            if status != 0:
                raise HostError(f"no io_uring: {os.strerror(-status)}")
        self._loop.add_reader(lib.ovr_uring_fd(self._uring), self._on_ready)
        if self._shape is not Shape.LOOP:
            self._thread.start()

    # -- what the process asks for ---------------------------------------------------------

    def connect(self, connection: int) -> None:
        """Start to open a connection; the owner hears of its success or failure."""
        link = _Link(connection, self._loop)
        self._links[connection] = link
        task = self._loop.create_task(self._run(link))
        self._tasks[connection] = task
        task.add_done_callback(lambda done: self._on_done(connection, done))

    def send(self, connection: int, text: str) -> bool:
        """Send a text frame; false if the connection is not open any more."""
        link = self._links.get(connection)
        if link is None or not link.opened or link.ended.done():
            return False
        raw = text.encode()
        sent: int = lib.ovr_uring_send(self._uring, link.slot, raw, len(raw))
        self._collect_soon()
        return sent == 0

    def close(self, connection: int) -> bool:
        """End a connection, open or being opened; true if it was open: its end will be told."""
        link = self._links.get(connection)
        if link is None or link.told:
            return False
        if not link.opened:
            self._tasks[connection].cancel()
            return False
        lib.ovr_uring_end(self._uring, link.slot, _NORMAL)
        self._collect_soon()
        return True

    def data_times(self) -> Iterator[tuple[int, int]]:
        """Yield every open connection with the time of its last data frame, 0 for none."""
        for connection, link in self._links.items():
            ours = link.opened and not link.ended.done()
            yield connection, lib.ovr_uring_data_ns(self._uring, link.slot) if ours else 0

    def poll(self) -> None:
        """Tell the owner what came since the last time; a thread of its own wakes us seldom."""
        if not self._stopped:
            self._on_ready()

    def gauges(self) -> dict[Value, int]:
        """Return what the ring has counted so far."""
        counters = ffi.new("struct ovr_uring_counters *")
        if not self._stopped:
            lib.ovr_uring_counters(self._uring, counters)
        return {
            Value.URING_SHAPE: self._shape.number + 1,
            Value.URING_ENTERS: counters.enters,
            Value.URING_STARVED: counters.starved,
        }

    async def stop(self) -> None:
        """Close everything, wait until it is closed, and give the ring back."""
        tasks = list(self._tasks.values())
        for connection in list(self._tasks):
            self.close(connection)
        if tasks:
            _, late = await asyncio.wait(tasks, timeout=self._connect_timeout_s)
            for task in late:
                task.cancel()
            await asyncio.gather(*late, return_exceptions=True)
        self._stopped = True
        self._loop.remove_reader(lib.ovr_uring_fd(self._uring))
        if self._shape is not Shape.LOOP:
            lib.ovr_uring_stop(self._uring)
            await asyncio.to_thread(self._thread.join)
        ffi.release(self._uring)
        if self._tls != ffi.NULL:
            ffi.release(self._tls)

    # -- one connection --------------------------------------------------------------------

    async def _run(self, link: _Link) -> None:
        try:
            async with asyncio.timeout(self._connect_timeout_s):
                await self._open(link)
        except (OSError, HostError) as error:
            self._abandon(link)
            link.told = True
            self._owner.on_connect_failed(link.connection, f"{type(error).__name__}: {error}")
            return
        except BaseException:
            self._abandon(link)
            raise
        why = await link.ended
        self._log.info("connection ended", connection=link.connection, reason=why)

    async def _open(self, link: _Link) -> None:
        key = new_key()
        request = build_request(self._target, key)
        connected = await self._dial()
        slot = lib.ovr_uring_open(
            self._uring,
            link.connection,
            connected.fileno(),
            self._tls,
            self._target.host.encode(),
            request,
            len(request),
        )
        if slot < 0:
            connected.close()
            raise HostError(f"no room for a connection: {os.strerror(-slot)}")
        connected.detach()
        link.slot = slot
        self._collect_soon()
        await link.answered
        head = ffi.new("char[]", lib.OVR_URING_HEAD_BYTES_MAX)
        length = lib.ovr_uring_answer(self._uring, slot, head, lib.OVR_URING_HEAD_BYTES_MAX)
        if length < 0:
            raise ConnectionError(link.ended.result() if link.ended.done() else "no answer")
        check_answer(bytes(ffi.buffer(head, length)), key)
        # What is subscribed on being connected goes out before anything is read.
        link.opened = True
        self._owner.on_connected(link.connection)
        lib.ovr_uring_accept(self._uring, slot)
        self._collect_soon()

    async def _dial(self) -> socket.socket:
        """Return a connected socket; the error of the last address tried if there is none."""
        target = self._target
        addresses = await self._loop.getaddrinfo(target.host, target.port, type=socket.SOCK_STREAM)
        refused: OSError = ConnectionError("the name has no address")
        for family, kind, protocol, _, address in addresses:
            tried = socket.socket(family, kind | socket.SOCK_NONBLOCK, protocol)
            try:
                await self._loop.sock_connect(tried, address)
            except OSError as error:
                tried.close()
                refused = error
            except BaseException:
                tried.close()
                raise
            else:
                return tried
        raise refused

    def _abandon(self, link: _Link) -> None:
        """Let go of a connection that did not open; nobody is told of its end."""
        link.opened = False
        if link.slot >= 0 and not link.ended.done():
            lib.ovr_uring_end(self._uring, link.slot, 0)
            link.slot = -1
            self._collect_soon()

    def _on_done(self, connection: int, task: asyncio.Task[None]) -> None:
        self._links.pop(connection, None)
        self._tasks.pop(connection, None)
        if not task.cancelled() and (error := task.exception()) is not None:
            self._on_fatal(error)

    # -- what the ring tells ---------------------------------------------------------------

    def _collect_soon(self) -> None:
        """Look at the news in the loop's next turn: a call of ours may have made some."""
        if not self._soon and not self._stopped:
            self._soon = True
            self._loop.call_soon(self._collect)

    def _collect(self) -> None:
        self._soon = False
        if not self._stopped:
            self._on_ready()

    def _on_ready(self) -> None:
        try:
            if self._shape is Shape.LOOP:
                lib.ovr_uring_step(self._uring)
            summary, news = self._summary, self._news
            lib.ovr_uring_take(self._uring, summary)
            if self._fed and (summary.messages or summary.resync):
                self._owner.on_frames(summary)
            if summary.news:
                while lib.ovr_uring_news(self._uring, news):
                    self._tell(news)
        except BaseException as error:
            self._on_fatal(error)

    def _tell(self, news: Any) -> None:
        link = self._links.get(news.number)
        if link is None or link.told or link.slot < 0:
            return  # abandoned: what its socket still says concerns nobody
        bits = news.bits
        if bits & lib.OVR_URING_NEWS_ANSWER and not link.answered.done():
            link.answered.set_result(None)
        for _ in range(news.pongs):
            self._owner.on_pong(link.connection, news.pong_ns)
        for count, too_large in ((news.wrong_type, False), (news.too_large, True)):
            if count:
                self._owner.on_unusable(
                    link.connection, news.pong_ns, too_large=too_large, count=count
                )
        if bits & lib.OVR_URING_NEWS_ENDED:
            self._on_ended(link, news)

    def _on_ended(self, link: _Link, news: Any) -> None:
        why = ffi.string(news.why).decode(errors="replace")
        if not link.answered.done():
            link.answered.set_exception(ConnectionError(why))
        if not link.ended.done():
            link.ended.set_result(why)
        if link.opened:
            link.told = True
            if news.broken:
                self._owner.on_broken(link.connection, why)
            self._owner.on_disconnected(link.connection)

    # -- a thread of its own ---------------------------------------------------------------

    def _drive(self) -> None:
        if self._cpus:
            os.sched_setaffinity(0, self._cpus)
        status = lib.ovr_uring_run(self._uring)
        if status != 0:
            error = HostError(f"the ring's thread cannot run: {os.strerror(-status)}")
            self._loop.call_soon_threadsafe(self._on_fatal, error)

    def take_text(self, text: Any, recv_ns: int, connection: int) -> None:
        """Hand a message to the owner, where no engine takes it; always in the loop's thread."""
        if self._shape is Shape.LOOP:
            self._hand_over(memoryview(text), recv_ns, connection)
        else:
            copy = bytearray(text)
            self._loop.call_soon_threadsafe(self._hand_over, copy, recv_ns, connection)

    def _hand_over(self, payload: memoryview | bytearray, recv_ns: int, connection: int) -> None:
        try:
            self._owner.on_frame(payload, recv_ns, connection)
        except BaseException as error:  # ours: the connection ends, and so will we
            link = self._links.get(connection)
            if link is not None:
                lib.ovr_uring_end(self._uring, link.slot, _NORMAL)
                self._collect_soon()
            self._on_fatal(error)


@ffi.def_extern()  # type: ignore[untyped-decorator]
def ovr_uring_on_text(user: Any, text: Any, length: int, recv_ns: int, number: int) -> None:
    """Call back from native code, with the ring's mutex held."""
    links: NativeLinks = ffi.from_handle(user)
    links.take_text(ffi.buffer(text, length), recv_ns, number)


def _tls_context(ca_file: str | None) -> Any:
    """Return our own verifying context; raises HostError if the authorities cannot be read."""
    paths = ssl.get_default_verify_paths()
    file, folder = (ca_file, None) if ca_file else (paths.cafile, paths.capath)
    why = ffi.new("char[]", lib.OVR_TLS_WHY_BYTES)
    context = lib.ovr_tls_context_create(
        ffi.NULL if file is None else os.fsencode(file),
        ffi.NULL if folder is None else os.fsencode(folder),
        why,
    )
    if context == ffi.NULL:
        raise HostError(
            f"{ffi.string(why).decode(errors='replace')} (file {file}, folder {folder})"
        )
    return ffi.gc(context, lib.ovr_tls_context_destroy)
