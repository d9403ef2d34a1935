"""Order digests, signatures and bodies: known answers, the official client, both directions."""

from __future__ import annotations

import json
import random
from dataclasses import replace
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from py_clob_client_v2.order_utils.exchange_order_builder_v2 import ExchangeOrderBuilderV2
from py_clob_client_v2.order_utils.model.order_data_v2 import OrderDataV2
from py_clob_client_v2.order_utils.model.order_data_v2 import order_to_json_v2 as client_json
from py_clob_client_v2.order_utils.model.side import Side as ClientSide
from py_clob_client_v2.order_utils.model.signature_type_v2 import SignatureTypeV2
from py_clob_client_v2.signer import Signer as ClientSigner

from oracle import signing_table as table
from overround.errors import ConfigError, OrderError
from overround.venues.contract import MarketSpec, OrderType
from overround.venues.polymarket.auth import Signer
from overround.venues.polymarket.eip712 import checksum_address
from overround.venues.polymarket.orders import (
    SALT_MAX,
    Domain,
    OrderParams,
    OrderSigner,
    batch_body,
    exchange_domain,
    market_domain,
    order_body,
    order_digest,
    order_salt,
    verify_order,
)

DOMAINS = {
    "standard": exchange_domain(neg_risk=False),
    "neg_risk": exchange_domain(neg_risk=True),
    "v3": exchange_domain(neg_risk=False, protocol=3),
}
OWNER = "6f1c0f0e-8c5b-4c0e-9a53-0d3b1f2e7a10"


@pytest.fixture(scope="module")
def signer() -> OrderSigner:
    return OrderSigner(Signer(table.KEY))


def make_params(**changes: object) -> OrderParams:
    members = {
        **table.ORDER,
        "maker": table.ADDRESS,
        "signer": table.ADDRESS,
        "signature_type": 0,
        **changes,
    }
    return OrderParams(**members)  # type: ignore[arg-type]


@pytest.mark.parametrize("name", list(DOMAINS))
def test_known_answers(signer: OrderSigner, name: str) -> None:
    domain = DOMAINS[name]
    assert domain.separator.hex() == table.DOMAINS[name]
    signed = signer.sign(make_params(), domain)
    assert signed.order_id == table.DIGESTS[name]
    assert signed.signature == table.SIGNATURES[name]
    assert "0x" + order_digest(make_params(), domain).hex() == signed.order_id


def test_wallet_order_is_wrapped_and_its_id_stays_the_plain_digest(signer: OrderSigner) -> None:
    params = make_params(maker=table.WALLET, signer=table.WALLET, signature_type=3)
    signed = signer.sign(params, DOMAINS["standard"])
    assert signed.order_id == table.WALLET_DIGEST
    assert len(signed.signature) == 636
    assert verify_order(params, signed.signature, DOMAINS["standard"]) == table.ADDRESS
    assert verify_order(params, signed.signature, DOMAINS["neg_risk"]) is None
    other = msgspec.structs.replace(params, maker=table.ADDRESS)
    assert verify_order(other, signed.signature, DOMAINS["standard"]) is None
    two_wallets = signer.sign(other, DOMAINS["standard"])
    assert verify_order(other, two_wallets.signature, DOMAINS["standard"]) is None
    assert verify_order(params, signed.signature[:-2], DOMAINS["standard"]) is None


def test_v3_ignores_neg_risk_and_test_net_has_its_own_contract() -> None:
    assert exchange_domain(neg_risk=True, protocol=3) == DOMAINS["v3"]
    assert exchange_domain(neg_risk=True, protocol=3, chain_id=80002) != DOMAINS["v3"]
    spec = MarketSpec(
        venue="polymarket",
        condition_id="0x",
        token_yes="1",
        token_no="2",
        tick_ticks=100,
        min_size_lots=1,
        neg_risk=True,
    )
    assert market_domain(spec) == DOMAINS["neg_risk"]
    with pytest.raises(ConfigError, match="chain_id = 1"):
        exchange_domain(neg_risk=False, chain_id=1)
    with pytest.raises(ConfigError, match="protocol 1"):
        exchange_domain(neg_risk=False, protocol=1)


@pytest.mark.parametrize(
    "change",
    [
        {"salt": 1},
        {"maker": table.WALLET},
        {"token_id": 5},
        {"maker_amount": 5200001},
        {"taker_amount": 9999999},
        {"side": 1},
        {"signature_type": 1},
        {"timestamp_ms": 1795000000001},
        {"metadata": b"\1" * 32},
        {"builder": b"\1" * 32},
    ],
)
def test_order_changed_anywhere_does_not_verify(
    signer: OrderSigner, change: dict[str, object]
) -> None:
    signed = signer.sign(make_params(), DOMAINS["standard"])
    assert verify_order(make_params(), signed.signature, DOMAINS["standard"]) == table.ADDRESS
    assert verify_order(make_params(**change), signed.signature, DOMAINS["standard"]) is None


@pytest.mark.parametrize(
    "change",
    [
        {"salt": -1},
        {"salt": SALT_MAX + 1},
        {"side": 2},
        {"signature_type": 4},
        {"maker": "0x12"},
        {"maker": "0x" + "zz" * 20},
        {"maker": "0x" + "1 " * 20},
        {"token_id": 2**256},
        {"taker_amount": -1},
        {"metadata": b""},
        {"signer": table.WALLET},
    ],
)
def test_impossible_field_is_refused(signer: OrderSigner, change: dict[str, object]) -> None:
    with pytest.raises(OrderError):
        signer.sign(make_params(**change), DOMAINS["standard"])


def test_refused_order_leaves_no_trace_in_the_reused_buffer(signer: OrderSigner) -> None:
    with pytest.raises(OrderError):
        signer.sign(make_params(salt=77, maker_amount=2**256), DOMAINS["standard"])
    signed = signer.sign(make_params(), DOMAINS["standard"])
    assert signed.order_id == table.DIGESTS["standard"]


def client_order(params: OrderParams, domain: Domain, key: str) -> tuple[str, str, object]:
    """Return digest, signature and order of the official client for the same fields."""
    from eth_account.messages import encode_typed_data
    from eth_utils import keccak

    builder = ExchangeOrderBuilderV2(
        domain.contract,
        domain.chain_id,
        ClientSigner(key, domain.chain_id),
        generate_salt=lambda: str(params.salt),
        domain_version=str(domain.version),
    )
    order = builder.build_signed_order(
        OrderDataV2(
            maker=params.maker,
            tokenId=str(params.token_id),
            makerAmount=str(params.maker_amount),
            takerAmount=str(params.taker_amount),
            side=ClientSide(params.side),
            signer=params.signer,
            signatureType=SignatureTypeV2(params.signature_type),
            timestamp=str(params.timestamp_ms),
            metadata="0x" + params.metadata.hex(),
            builder="0x" + params.builder.hex(),
        )
    )
    message = encode_typed_data(full_message=builder.build_order_typed_data(order))
    digest = keccak(b"\x19" + message.version + message.header + message.body)
    return "0x" + digest.hex(), order.signature, order


def test_a_thousand_random_orders_equal_the_official_client(signer: OrderSigner) -> None:
    seed = 20261123
    rng = random.Random(seed)
    names = list(DOMAINS)
    for number in range(1000):
        kind = rng.choice((0, 0, 1, 2, 3))
        wallet = checksum_address(rng.randbytes(20))
        params = OrderParams(
            salt=rng.randint(0, SALT_MAX),
            maker=table.ADDRESS if kind == 0 else wallet,
            signer=wallet if kind == 3 else table.ADDRESS,
            token_id=rng.getrandbits(rng.choice((8, 64, 255, 256))),
            maker_amount=rng.randint(1, 10 ** rng.randint(1, 15)),
            taker_amount=rng.randint(1, 10 ** rng.randint(1, 15)),
            side=rng.randint(0, 1),
            signature_type=kind,
            timestamp_ms=rng.randint(1_700_000_000_000, 1_900_000_000_000),
            metadata=rng.choice((bytes(32), rng.randbytes(32))),
            builder=rng.choice((bytes(32), rng.randbytes(32))),
        )
        domain = DOMAINS[names[number % 3]]
        signed = signer.sign(params, domain)
        digest, signature, _ = client_order(params, domain, table.KEY)
        assert (signed.order_id, signed.signature) == (digest, signature), (seed, number)
        assert verify_order(params, signature, domain) == table.ADDRESS


@pytest.mark.parametrize(
    ("order_type", "expiration_s", "post_only", "defer_exec"),
    [
        (OrderType.GTC, 0, False, False),
        (OrderType.GTC, 0, True, False),
        (OrderType.GTD, 1795349999, False, True),
        (OrderType.FOK, 0, False, False),
        (OrderType.FAK, 0, False, False),
    ],
)
def test_body_is_byte_for_byte_the_official_clients(
    signer: OrderSigner,
    order_type: OrderType,
    expiration_s: int,
    post_only: bool,
    defer_exec: bool,
) -> None:
    signed = signer.sign(make_params(side=1), DOMAINS["neg_risk"])
    _, _, order = client_order(signed.params, DOMAINS["neg_risk"], table.KEY)
    order = replace(order, expiration=str(expiration_s))  # type: ignore[type-var]
    theirs = client_json(order, OWNER, order_type.name, post_only, defer_exec)
    expected = json.dumps(theirs, separators=(",", ":"), ensure_ascii=False).encode()
    ours = order_body(
        signed,
        OWNER,
        order_type,
        expiration_s=expiration_s,
        post_only=post_only,
        defer_exec=defer_exec,
    )
    assert ours == expected


def test_body_refuses_contradictions(signer: OrderSigner) -> None:
    signed = signer.sign(make_params(), DOMAINS["standard"])
    with pytest.raises(OrderError, match="GTC order with expiration"):
        order_body(signed, OWNER, OrderType.GTC, expiration_s=5)
    with pytest.raises(OrderError, match="GTD order with expiration 0"):
        order_body(signed, OWNER, OrderType.GTD)
    with pytest.raises(OrderError, match="post-only contradicts FAK"):
        order_body(signed, OWNER, OrderType.FAK, post_only=True)
    with pytest.raises(OrderError, match="owner"):
        order_body(signed, "k\u00e9y", OrderType.GTC)
    assert b'"owner":"a\\"b"' in order_body(signed, 'a"b', OrderType.GTC)


def test_batch_holds_one_to_fifteen_and_reads_back(signer: OrderSigner) -> None:
    bodies = [
        order_body(signer.sign(make_params(salt=n), DOMAINS["standard"]), OWNER, OrderType.FAK)
        for n in range(15)
    ]
    orders = json.loads(batch_body(bodies))
    assert [one["order"]["salt"] for one in orders] == list(range(15))
    for count in (0, 16):
        with pytest.raises(OrderError):
            batch_body([b"{}"] * count)


@given(st.binary(max_size=200))
def test_rubbish_signature_verifies_as_nothing(raw: bytes) -> None:
    for kind in (0, 3):
        params = make_params(signature_type=kind)
        assert verify_order(params, "0x" + raw.hex(), DOMAINS["standard"]) is None
        assert verify_order(params, raw.decode("latin-1"), DOMAINS["standard"]) is None


def test_salt_is_fixed_by_its_key_and_fits_json() -> None:
    salts = {order_salt(f"{n}".encode()) for n in range(2000)}
    assert len(salts) == 2000
    assert all(1 <= salt <= SALT_MAX for salt in salts)
    assert order_salt(b"7") == order_salt(b"7")


@pytest.mark.recorded
def test_every_recorded_vector(recorded: Path) -> None:
    vectors = json.loads((recorded / "signing/polymarket_signing_vectors.json").read_text())
    signer = OrderSigner(Signer(vectors["key"]))
    cases = vectors["v2_orders"] + vectors["v3_orders"]
    assert len(cases) == 24
    for case in cases:
        where, message = case["domain"], case["message"]
        domain = exchange_domain(
            neg_risk=where["verifyingContract"] == DOMAINS["neg_risk"].contract,
            protocol=int(where["version"]),
            chain_id=where["chainId"],
        )
        assert domain.contract == where["verifyingContract"]
        signed = signer.sign(vector_params(message), domain)
        assert (signed.order_id, signed.signature) == (case["digest"], case["signature"])
        assert verify_order(signed.params, signed.signature, domain) == vectors["address"]
    wrapped = next(case for case in vectors["published"] if "type 3" in case["what"])
    domain = exchange_domain(neg_risk=False, chain_id=80002)
    signed = signer.sign(vector_params(wrapped["inputs"]), domain)
    assert signed.signature == wrapped["signature"]


def vector_params(message: dict[str, object]) -> OrderParams:
    return OrderParams(
        salt=int(str(message["salt"])),
        maker=str(message["maker"]),
        signer=str(message["signer"]),
        token_id=int(str(message["tokenId"])),
        maker_amount=int(str(message["makerAmount"])),
        taker_amount=int(str(message["takerAmount"])),
        side=int(str(message["side"])),
        signature_type=int(str(message["signatureType"])),
        timestamp_ms=int(str(message["timestamp"])),
        metadata=bytes.fromhex(str(message["metadata"])[2:]),
        builder=bytes.fromhex(str(message["builder"])[2:]),
    )
