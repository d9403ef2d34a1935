"""No key and no secret anywhere it could be read later: files, logs, errors, reprs, core dumps."""

from __future__ import annotations

import asyncio
import base64
import io
import json
import logging
import subprocess
import sys
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import pytest

from oracle.executor_rig import Rig
from oracle.sim_process import SimProcess
from oracle.sim_wallet import HostileWallet
from overround.config.load import load_private_key
from overround.config.schema import Account, Execute
from overround.errors import OverroundError
from overround.execute.account import obtain_credentials
from overround.execute.build import OrderBuilder
from overround.execute.client import NoNews
from overround.execute.wiring import venue_client
from overround.observe.metrics import Value
from overround.venues.polymarket.auth import Credentials, Signer
from overround.venues.polymarket.orders import OrderSigner

HALF = 6


@pytest.fixture(name="rig")
def fixture_rig(tmp_path: Path) -> Iterator[Rig]:
    rig = Rig(tmp_path, execute=Execute(unknown_quiet_ms=300, reconcile_interval_ms=300))
    yield rig
    rig.close()


def spellings(key: str, credentials: Credentials) -> list[bytes]:
    """Every way in which the secrets would be found, also cut in two."""
    digits = key.removeprefix("0x")
    raw = bytes.fromhex(digits)
    secret = base64.urlsafe_b64decode(credentials.secret)
    texts = [digits, digits.upper(), str(int(digits, 16)), credentials.secret]
    texts += [secret.hex(), credentials.passphrase, base64.b64encode(raw).decode()]
    whole = [text.encode() for text in texts] + [raw, secret]
    return whole + [part for one in whole for part in (one[: len(one) // 2], one[len(one) // 2 :])]


def assert_hidden(text: bytes, secrets: list[bytes], where: object) -> None:
    for secret in secrets:
        assert secret not in text, where


def test_a_run_full_of_trouble_writes_no_secret_anywhere(rig: Rig) -> None:
    wallet = HostileWallet(cast("SimProcess", rig.venue))
    secrets = spellings(rig.key, wallet.credentials)
    rig.start()
    limits = Path(f"/proc/{rig.child.pid}/limits").read_text()  # type: ignore[union-attr]
    assert [line.split()[4:6] for line in limits.splitlines() if "core file" in line] == [
        ["0", "0"]
    ]
    for fault in ("key-refused", "answer-lost", "gateway-error", "answer-torn", "order-timeout"):
        rig.venue.control("faults", switch=fault, value=2)
        sent = rig.count(Value.INTENTS_TAKEN)
        rig.push(market=HALF)
        rig.push_rest(HALF)
        rig.until(lambda sent=sent: rig.count(Value.INTENTS_TAKEN) == sent + 2)
    rig.venue.control("frame", channel="user", text='{"event_type":"trade","bad":')
    rig.venue.control("faults", clear=True)  # what is left of them must not hit the wallet
    wallet.l2("DELETE", "/auth/api-key")  # revoked: the executor has to log in again
    rig.kill()
    rig.start()
    rig.venue.control("faults", switch="key-refused", value=3)
    rig.push(market=HALF)
    rig.until(lambda: rig.ring.head == rig.ring.cursor)
    rig.stop()
    own = {rig.venue.log_path.name, "exchange.store", "exchange.err"}
    files = [one for one in rig.folder.rglob("*") if one.is_file() and one.name not in own]
    assert {"executor.log", "ledger.db", "journal-000000.ovj"} <= {one.name for one in files}
    for file in files:
        assert_hidden(file.read_bytes(), secrets, file)
    for segment in Path("/dev/shm").glob(f"*{rig.settings.instance}*"):
        assert_hidden(segment.read_bytes(), secrets, segment)


def everything_said_of(thing: object) -> str:
    """What a log line or a debugger's list would show of an object and all it holds."""
    said, seen, todo = [], set(), [thing]
    while todo:
        one = todo.pop()
        if id(one) in seen or len(seen) > 20_000:
            continue
        seen.add(id(one))
        module = type(one).__module__
        if not module.startswith("overround"):
            continue
        said += [repr(one), str(one), f"{one!r:.1000}"]
        todo += vars(one).values() if hasattr(one, "__dict__") else []
        todo += [getattr(one, name, None) for name in getattr(type(one), "__slots__", ())]
    return "\n".join(said)


def test_no_object_and_no_error_tells_a_secret(rig: Rig, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    signer = Signer(rig.key)
    found: dict[str, Any] = {}

    async def use() -> None:
        async with venue_client(rig.settings, signer, NoNews()) as client:
            client.credentials = await obtain_credentials(client)
            found["credentials"] = client.credentials
            found["client"] = everything_said_of(client)
            rig.venue.control("faults", path="/", count=1, status=401)
            try:
                await obtain_credentials(client)
                rig.venue.close()
                await obtain_credentials(client)
            except OverroundError:
                found["error"] = traceback.format_exc()

    asyncio.run(use())
    secrets = spellings(rig.key, found["credentials"])
    builder = OrderBuilder(OrderSigner(signer), owner="o", chain_id=137)
    said = [found["client"], found["error"], caplog.text]
    said += [everything_said_of(one) for one in (signer, builder, found["credentials"])]
    said += [rig.settings.model_dump_json(), repr(rig.settings)]
    for text in said:
        assert_hidden(text.encode(), secrets, text[:200])
    spoilt = {"short": rig.key[:-2], "long": rig.key + "00", "odd": rig.key[:-1] + "x"}
    for name, value in spoilt.items():
        with pytest.raises(OverroundError) as error:
            load_private_key(Account(private_key_env="K"), {"K": value})
        told = io.StringIO()
        traceback.print_exception(error.value, file=told)
        assert_hidden(told.getvalue().encode(), secrets, name)


_PROBE = """
import ctypes, json, resource
from overround.shm.process import forbid_core_dumps
hard = resource.getrlimit(resource.RLIMIT_CORE)[1]  # 0 where the parent holds a key itself
resource.setrlimit(resource.RLIMIT_CORE, (hard, hard))
before = ctypes.CDLL(None).prctl(3, 0, 0, 0, 0)
forbid_core_dumps()
print(json.dumps([before, ctypes.CDLL(None).prctl(3, 0, 0, 0, 0),
                  resource.getrlimit(resource.RLIMIT_CORE)]))
"""


def test_whoever_holds_a_key_is_never_dumped() -> None:
    done = subprocess.run([sys.executable, "-c", _PROBE], capture_output=True, check=True)
    assert json.loads(done.stdout) == [1, 0, [0, 0]]
