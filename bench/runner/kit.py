"""What every measurement gets handed: compiled programs, the host's facts, how long to run."""

from __future__ import annotations

import contextlib
import gc
import os
import shutil
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from runner.judge import Series

__all__ = ["BUILD", "ROOT", "CannotMeasure", "Kit"]

ROOT = Path(__file__).resolve().parents[2]
BUILD = ROOT / "build" / "bench"
NATIVE = ROOT / "native"
FLOOR_FLAGS = ("-O3", "-march=native")
"""A floor may use whatever this machine has."""
SUBJECT_FLAGS = ("-O3", "-DNDEBUG", "-fPIC")
"""As CMake builds the module for release: no instructions beyond the architecture's base."""


class CannotMeasure(Exception):
    """Something this row needs is not here; the text says what."""


@dataclass(slots=True)
class Kit:
    """One run's settings and what it has found out."""

    rounds: int = 60
    peers: bool = True
    fifo: bool = True
    cpus: tuple[int, ...] = ()
    host: dict[str, Any] = field(default_factory=dict)

    def compile(
        self,
        name: str,
        *sources: str,
        flags: tuple[str, ...] = (),
        parts: tuple[str, ...] | None = None,
    ) -> Path:
        """Build a program from bench/limits against the runtime's own sources; return its path.

        ``parts`` names the runtime's sources it needs, None for all of them.

        Each source is compiled by its language; ``*_ours.c`` as the module is. Raises
        CannotMeasure with the compiler's first error if it cannot be built here.
        """
        runtime = self._runtime(parts)
        out = BUILD / name
        paths = [ROOT / "bench" / "limits" / source for source in sources]
        newest = max(
            path.stat().st_mtime
            for path in [*paths, *runtime, *(ROOT / "bench" / "limits").glob("*.h")]
        )
        if out.exists() and out.stat().st_mtime > newest:
            return out
        defines = [flag for flag in flags if flag.startswith("-D")]
        objects = []
        for path in paths:
            tool, standard = ("gcc", "gnu11") if path.suffix == ".c" else ("g++", "c++17")
            if shutil.which(tool) is None:
                raise CannotMeasure(f"no {tool}: apt-get install {tool}")
            objects.append(str(BUILD / f"{name}-{path.stem}.o"))
            own = SUBJECT_FLAGS if path.stem.endswith("_ours") else FLOOR_FLAGS
            own += tuple(flag for flag in flags if flag == "-fPIC")
            run(
                tool, *own, f"-std={standard}", *defines, f"-I{NATIVE / 'include'}",
                f"-I{ROOT / 'bench' / 'limits'}", "-c", str(path), "-o", objects[-1],
            )  # fmt: skip
        run(
            "g++" if any(path.suffix == ".cpp" for path in paths) else "gcc", *objects,
            *map(str, runtime), *flags, "-lm", "-lssl", "-lcrypto", "-pthread", *self.uring_flags(),
            "-o", str(out),
        )  # fmt: skip
        return out

    def two_cpus(self) -> list[str]:
        """Return why rows that need two CPUs must not be judged; raises if there is one only."""
        if len(self.cpus) < 2:
            raise CannotMeasure("needs two CPUs, and may use one only")
        pair = str(self.host.get("pair", ""))
        if pair == "cores of their own":
            return []
        return [f"the two CPUs are not known to be cores of their own ({pair})"]

    @contextlib.contextmanager
    def quiet(self, priority: int = 1) -> Iterator[None]:
        """Hold this process on the last CPU of the run, in FIFO if that was granted."""
        before = os.sched_getaffinity(0)
        os.sched_setaffinity(0, set(self.cpus[-1:]))
        if self.fifo:
            os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(priority))
        gc.disable()
        try:
            yield
        finally:
            gc.enable()
            os.sched_setscheduler(0, os.SCHED_OTHER, os.sched_param(0))
            os.sched_setaffinity(0, before)

    @staticmethod
    def uring_flags() -> tuple[str, ...]:
        """Return what links liburing, if it is there."""
        found = Path("/usr/include/liburing.h").exists()
        return ("-l:liburing.a",) if found else ()

    def _runtime(self, parts: tuple[str, ...] | None) -> list[Path]:
        """Return the runtime's C sources as objects, compiled with the module's own flags."""
        if shutil.which("gcc") is None:
            raise CannotMeasure("no C compiler: apt-get install gcc libc6-dev libssl-dev")
        folder = BUILD / "runtime"
        folder.mkdir(parents=True, exist_ok=True)
        newest_header = max(
            path.stat().st_mtime
            for path in (*(NATIVE / "include").rglob("*"), *(NATIVE / "src").glob("*.h"))
        )
        flags = list(SUBJECT_FLAGS)
        if self.uring_flags():
            flags.append('-DOVR_LIBURING="bench"')
        objects, stale = [], []
        for source in sorted((NATIVE / "src").glob("*.c")):
            if parts is not None and source.stem not in parts:
                continue
            item = folder / f"{source.stem}.o"
            objects.append(item)
            if item.exists() and item.stat().st_mtime > max(source.stat().st_mtime, newest_header):
                continue
            stale.append(
                ("gcc", *flags, "-std=gnu11", f"-I{NATIVE / 'include'}", "-c", str(source),
                 "-o", str(item))
            )  # fmt: skip
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            list(pool.map(lambda command: run(*command), stale))
        return objects

    def series(self, program: Path, *arguments: str, timeout_s: float = 120) -> dict[str, Series]:
        """Run a program; return the series it printed (lines of ``name p50 [p99]``)."""
        environment = {**os.environ, "BENCH_FIFO": "1" if self.fifo else "0",
                       "BENCH_CPUS": ",".join(map(str, self.cpus))}  # fmt: skip
        try:
            done = subprocess.run(
                [str(program), *arguments], capture_output=True, text=True, check=False,
                timeout=timeout_s, env=environment,
            )  # fmt: skip
        except subprocess.TimeoutExpired as late:
            raise CannotMeasure(f"{program.name} took longer than {timeout_s:.0f} s") from late
        if done.returncode:
            raise CannotMeasure(f"{program.name} failed: {last_line(done.stderr)}")
        found: dict[str, Series] = {}
        for line in done.stdout.splitlines():
            name, *figures = line.split()
            series = found.setdefault(name, Series())
            series.p50.append(float(figures[0]))
            if len(figures) > 1:
                series.p99.append(float(figures[1]))
        return found


def last_line(text: str) -> str:
    """Return the last line that says something."""
    lines = [line for line in text.splitlines() if line.strip()]
    return lines[-1] if lines else "it said nothing"


def run(*command: str) -> None:
    """Run a build step; raises CannotMeasure with its last line if it fails."""
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        errors = [line for line in done.stderr.splitlines() if "error" in line] or [done.stderr]
        raise CannotMeasure(f"{command[0]}: {errors[0].strip()}")
