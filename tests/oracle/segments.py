"""Fresh shared segments for one test, removed afterwards, and processes that act on them."""

from __future__ import annotations

import itertools
import os
import subprocess
import sys
from pathlib import Path
from types import TracebackType
from typing import IO, Self

from overround.layout.region import RegionKind
from overround.shm.names import segment_name
from overround.shm.segment import Segment

INSTANCE = f"shmtest-{os.getpid()}"
"""Of this test process alone, so that its sweeps meet nobody else's segments."""

_runs = itertools.count(os.getpid() << 20)


class SegmentBox:
    """Makes segments of a run of its own and closes and unlinks them all at the end."""

    def __init__(self) -> None:
        self.run_id = next(_runs)
        self._segments: list[Segment] = []

    def name(self, key: str) -> str:
        return segment_name(INSTANCE, self.run_id, key)

    def make(
        self, kind: RegionKind, capacity: int, key: str = "region-0", *, own: bool = True
    ) -> Segment:
        segment = Segment.create(
            self.name(key), kind, capacity=capacity, run_id=self.run_id, lease=own
        )
        self._segments.append(segment)
        if own:
            segment.take_over()
        return segment

    def attach(self, kind: RegionKind, key: str = "region-0") -> Segment:
        segment = Segment.attach(self.name(key), kind)
        self._segments.append(segment)
        return segment

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        _type: type[BaseException] | None,
        _value: BaseException | None,
        _traceback: TracebackType | None,
    ) -> None:
        for segment in self._segments:
            segment.close()
            segment.unlink()


class Actor:
    """A separate interpreter that runs one function of ``oracle.segment_actors``.

    It says what it has to say as lines on its standard output; the test reads them as conditions.
    """

    def __init__(self, function: str, *arguments: object) -> None:
        tests = Path(__file__).resolve().parent.parent
        self.process = subprocess.Popen(
            [sys.executable, "-m", "oracle.segment_actors", function, *map(str, arguments)],
            cwd=tests,
            stdout=subprocess.PIPE,
            text=True,
        )

    @property
    def _output(self) -> IO[str]:
        assert self.process.stdout is not None
        return self.process.stdout

    def line(self) -> str:
        """Wait for the next line it says; empty once it is dead."""
        return self._output.readline().strip()

    def finish(self) -> str:
        """Wait for its end; return the rest of what it said. Fails if it failed."""
        rest = self._output.read().strip()
        assert self.process.wait() == 0, rest
        self._output.close()
        return rest

    def kill(self) -> None:
        """SIGKILL it, wherever it is."""
        self.process.kill()
        self.process.wait()
        self._output.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exc: object) -> None:
        self.kill()
