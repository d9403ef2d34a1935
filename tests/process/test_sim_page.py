"""The product page is true: every block of it runs, in order, and prints what the page says."""

from __future__ import annotations

import contextlib
import io
import json
import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from oracle.sim_process import PATIENCE_S
from overround.clock import NS_PER_S, monotonic_ns

PAGE = "docs/howto/use-the-exchange.md"
FENCE = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
PORT = "8787"


class Block(NamedTuple):
    """One fenced block: its language, its text, and what the page says it prints (or None)."""

    language: str
    text: str
    printed: str | None


def blocks(page: str) -> list[Block]:
    found = [(match[1], match[2]) for match in FENCE.finditer(page)]
    return [
        Block(language, text, found[at + 1][1] if found[at + 1 : at + 2][:1] and
              found[at + 1][0] == "text" else None)
        for at, (language, text) in enumerate(found)
        if language != "text"
    ]  # fmt: skip


def free_port() -> str:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return str(listener.getsockname()[1])


class Shell:
    """A folder in which the page's blocks run, with ``overround`` on the path."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        scripts = Path(sys.executable).parent
        self.environment = {**os.environ, "PATH": f"{scripts}:{os.environ['PATH']}"}
        self.exchange: subprocess.Popen[bytes] | None = None

    def start(self, command: str) -> None:
        """Run the start command of the page, which ends in &, and wait for its ready line."""
        self.exchange = subprocess.Popen(
            ["bash", "-c", "exec " + command.strip().removesuffix("&")],
            cwd=self.folder,
            env=self.environment,
        )
        late_ns = monotonic_ns() + PATIENCE_S * NS_PER_S
        ready = self.folder / "exchange.json"
        while not ready.exists() or not ready.read_text().endswith("\n"):
            assert self.exchange.poll() is None, "the exchange ended before it was ready"
            assert monotonic_ns() < late_ns, "the exchange is not ready"
            signal.sigtimedwait([], 0.02)

    def run(self, block: Block) -> str:
        """What a block prints. Python runs here, where the clients are imported only once."""
        if block.language == "python":
            printed = io.StringIO()
            with contextlib.redirect_stdout(printed), contextlib.chdir(self.folder):
                exec(compile(block.text, "snippet", "exec"), {"__name__": "__main__"})
            return printed.getvalue()
        done = subprocess.run(
            ["bash", "-ec", block.text],
            cwd=self.folder,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=PATIENCE_S,
        )
        assert done.returncode == 0, f"{block.text}\n{done.stderr}"
        return done.stdout

    def stop(self) -> None:
        if self.exchange is not None:
            self.exchange.terminate()
            assert self.exchange.wait(PATIENCE_S) == 0


@pytest.fixture
def shell(tmp_path: Path) -> Iterator[Shell]:
    one = Shell(tmp_path)
    yield one
    if one.exchange is not None:
        one.exchange.kill()
        one.exchange.wait()


def test_every_block_of_the_page_runs_and_prints_what_it_says(
    shell: Shell, repository: Path
) -> None:
    page = (repository / PAGE).read_text(encoding="utf-8").replace(PORT, free_port())
    first, *rest = blocks(page)
    assert [block.language for block in rest].count("python") >= 6
    shell.start(first.text)
    for block in rest:
        printed = shell.run(block)
        if block.printed is not None:
            assert printed.strip() == block.printed.strip(), block.text
    ready = json.loads((shell.folder / "exchange.json").read_text())
    for name in ("rest_url", "gamma_url", "data_url", "relayer_url", "ws_market_url",
                 "ws_user_url", "chain_id", "accounts"):  # fmt: skip
        assert name in ready
        assert f"`{name}`" in page
    shell.stop()


def test_the_page_names_only_options_and_pages_that_exist(repository: Path) -> None:
    page = (repository / PAGE).read_text(encoding="utf-8")
    commands = (repository / "docs/reference/commands.md").read_text(encoding="utf-8")
    for option in set(re.findall(r"--[a-z][a-z-]+", page)):
        assert option in commands, option
    for target in re.findall(r"\]\(([^)#]+)\)", page):
        assert (repository / "docs/howto" / target).exists(), target
