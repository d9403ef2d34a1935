"""The exchange as a child process, and plain ways to talk to it."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from typing import Any

PATIENCE_S = 60


class SimProcess:
    """A running exchange: its ready record and its controls."""

    def __init__(self, process: subprocess.Popen[bytes], ready: dict[str, Any]) -> None:
        self.process = process
        self.ready = ready
        self.url = ready["rest_url"]

    def get(self, path: str) -> Any:
        with urllib.request.urlopen(self.url + path, timeout=PATIENCE_S) as answer:
            return json.loads(answer.read())

    def post(self, path: str, body: Any) -> tuple[int, Any]:
        request = urllib.request.Request(self.url + path, json.dumps(body).encode(), method="POST")
        try:
            with urllib.request.urlopen(request, timeout=PATIENCE_S) as answer:
                return answer.status, json.loads(answer.read())
        except urllib.error.HTTPError as error:
            with error:
                return error.code, json.loads(error.read())

    def control(self, name: str, **body: Any) -> Any:
        status, answer = self.post(f"/sim/{name}", body)
        assert status == 200, answer
        return answer


def command(*options: str) -> list[str]:
    return [sys.executable, "-m", "overround.cli.main", "sim", *options]


@contextlib.contextmanager
def running(*options: str) -> Iterator[SimProcess]:
    """An exchange that ends, and must end well, with the block: no error in it, status 0."""
    process = subprocess.Popen(command("--json", *options), stdout=subprocess.PIPE)
    assert process.stdout is not None
    try:
        sim = SimProcess(process, json.loads(process.stdout.readline()))
        yield sim
        if process.poll() is None:
            assert sim.get("/sim/state")["server_errors"] == 0
        process.terminate()
        assert process.wait(PATIENCE_S) == 0
    finally:
        process.kill()
        process.wait()
        process.stdout.close()
