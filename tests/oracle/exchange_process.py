"""The exchange in the box as a process, and its control endpoints."""

from __future__ import annotations

import asyncio
import json
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import aiohttp

START_S = 60.0
"""A start may share its CPU with a build."""


class ExchangeProcess:
    """``overround sim`` with the given options; ``rest_url`` and ``ws_url`` once entered."""

    def __init__(self, *options: str) -> None:
        self._options = options
        self._process: subprocess.Popen[bytes] | None = None
        self._session: aiohttp.ClientSession | None = None
        self.rest_url = ""
        self.ws_url = ""

    async def __aenter__(self) -> ExchangeProcess:
        program = str(Path(sys.executable).with_name("overround"))
        self._process = subprocess.Popen(
            [program, "sim", "--json", *self._options], stdout=subprocess.PIPE
        )
        assert self._process.stdout is not None
        async with asyncio.timeout(START_S):
            line = await asyncio.to_thread(self._process.stdout.readline)
        ready = json.loads(line)
        self.rest_url, self.ws_url = ready["rest_url"], ready["ws_market_url"]
        self._session = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=20))
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._process is not None
        assert self._process.stdout is not None
        if self._session is not None:
            await self._session.close()
        self._process.send_signal(signal.SIGTERM)
        try:
            await asyncio.to_thread(self._process.wait, 20)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process.stdout.close()

    @property
    def session(self) -> aiohttp.ClientSession:
        """HTTP session to the exchange and anything else."""
        assert self._session is not None
        return self._session

    async def control(self, command: str, **arguments: Any) -> Any:
        """POST to ``/sim/<command>``; returns its JSON answer."""
        async with self.session.post(f"{self.rest_url}/sim/{command}", json=arguments) as response:
            assert response.status == 200, await response.text()
            return await response.json()

    async def books(self, tokens: list[str]) -> list[dict[str, Any]]:
        """Return the book summaries of these tokens."""
        body = [{"token_id": token} for token in tokens]
        async with self.session.post(f"{self.rest_url}/books", json=body) as response:
            assert response.status == 200
            return list(await response.json())
