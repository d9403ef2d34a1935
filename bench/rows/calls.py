"""System calls a message with many market sockets on one core: picows against io_uring.

Two client processes are open at once and take turns; strace is attached to the one whose turn it
is. What twice as many bursts cost more is divided by their messages, so that attaching, commands
and timers do not count.
"""

from __future__ import annotations

import contextlib
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from statistics import median

from rows.sockets import need_uring, serving
from runner import corpus
from runner.judge import ROUNDS_MIN, Row, Series, judge
from runner.kit import CannotMeasure, Kit

SOCKETS, BURSTS = 50, 50
PATIENCE_S = 60


class Client:
    """One transport's process, on the run's last CPU."""

    def __init__(self, kit: Kit, kind: str, port: int) -> None:
        script = str(Path(__file__).with_name("burst_client.py"))
        self.process = subprocess.Popen(
            ["taskset", "-c", str(kit.cpus[-1]), sys.executable, script, kind, str(port),
             str(SOCKETS)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        self._hear("ready")

    def _hear(self, word: str) -> None:
        assert self.process.stdout is not None
        if self.process.stdout.readline().strip() != word:
            raise CannotMeasure(f"the client did not say {word}")

    def calls(self, bursts: int) -> int:
        """Return the system calls of so many bursts, and of being watched."""
        pid = self.process.pid
        assert self.process.stdin is not None
        with tempfile.NamedTemporaryFile("r", suffix=".strace") as out:
            tracer = subprocess.Popen(
                ["strace", "-f", "-c", "-o", out.name, "-p", str(pid)],
                stderr=subprocess.PIPE, text=True,
            )  # fmt: skip
            assert tracer.stderr is not None
            said = tracer.stderr.readline()
            if "attached" not in said:
                tracer.wait(PATIENCE_S)
                raise CannotMeasure(f"strace may not attach: {said.strip()}")
            self.process.stdin.write(f"{bursts}\n")
            self.process.stdin.flush()
            self._hear("done")
            tracer.send_signal(signal.SIGINT)
            tracer.wait(PATIENCE_S)
            tracer.stderr.close()
            total = [line.split() for line in out.read().splitlines() if line.endswith("total")]
        if not total:
            raise CannotMeasure("strace counted nothing")
        return int(total[-1][3])

    def close(self) -> None:
        """End it."""
        self.process.kill()
        self.process.wait()
        for stream in (self.process.stdin, self.process.stdout):
            assert stream is not None
            with contextlib.suppress(BrokenPipeError):
                stream.close()


@contextlib.contextmanager
def following(kit: Kit, kind: str, port: int) -> Iterator[Client]:
    """Yield a client with its connections open."""
    client = Client(kit, kind, port)
    try:
        yield client
    finally:
        client.close()


def measure(kit: Kit, _: list[str]) -> list[Row]:
    """Return ``ws_calls_50``."""
    need_uring()
    if shutil.which("strace") is None:
        raise CannotMeasure("needs strace: apt-get install strace")
    frames = corpus.write("change", corpus.changes())
    native, plain = Series(), Series()
    with (
        serving(kit, frames) as server,
        following(kit, "native", server.plain) as first,
        following(kit, "picows", server.plain) as second,
    ):
        for _turn in range(ROUNDS_MIN):
            for client, series in ((first, native), (second, plain)):
                few, many = client.calls(BURSTS), client.calls(2 * BURSTS)
                series.p50.append(max(1, many - few) / (SOCKETS * BURSTS))
    notes = {
        "floor is": "the io_uring transport as a guest of the event loop; the subject is picows",
        "native calls per message": round(median(native.p50), 4),
    }
    return [judge("ws_calls_50", plain, native, notes=notes)]
