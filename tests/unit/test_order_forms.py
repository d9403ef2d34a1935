"""A form gives the very bytes that signing and writing each order by itself gives."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from overround.errors import OrderError
from overround.venues.contract import OrderType
from overround.venues.polymarket.auth import Signer
from overround.venues.polymarket.forms import OrderForm
from overround.venues.polymarket.orders import (
    SALT_MAX,
    OrderParams,
    OrderSigner,
    exchange_domain,
    order_body,
)

KEY = Signer("0x" + "11" * 32)
SIGNER = OrderSigner(KEY)
WALLET = "0x" + "c7" * 20
NUMBERS = st.one_of(st.just(7), st.integers(0, 2**63 - 1))


@settings(max_examples=60, deadline=None)
@given(
    salts=st.lists(st.integers(1, SALT_MAX), min_size=1, max_size=3), maker=NUMBERS, taker=NUMBERS,
    timestamp_ms=NUMBERS, token=st.integers(0, 2**256 - 1), side=st.integers(0, 1),
    kind=st.integers(0, 2), neg_risk=st.booleans(), protocol=st.sampled_from([2, 3]),
    how=st.sampled_from([(OrderType.GTC, False), (OrderType.GTC, True), (OrderType.FAK, False)]),
    owner=st.sampled_from(["6f1c0f0e-8c5b", "7", '"salt":7', "7" * 9]),
)  # fmt: skip
def test_a_form_gives_the_same_bytes(
    salts: list[int], maker: int, taker: int, timestamp_ms: int, token: int, side: int, kind: int,
    neg_risk: bool, protocol: int, how: tuple[OrderType, bool], owner: str,
) -> None:  # fmt: skip
    domain = exchange_domain(neg_risk=neg_risk, protocol=protocol)
    wallet = WALLET if kind else KEY.address

    def params(salt: int) -> OrderParams:
        return OrderParams(salt, wallet, KEY.address, token, maker, taker, side, kind, timestamp_ms)

    order_type, post_only = how
    form = OrderForm(KEY, params(1), domain, owner, order_type, post_only=post_only)
    for salt in salts:
        signed = SIGNER.sign(params(salt), domain)
        body = order_body(signed, owner, order_type, post_only=post_only)
        assert form.fill(salt, maker, taker, timestamp_ms) == (signed.order_id, body)


def test_what_does_not_fit_is_refused_and_spoils_nothing() -> None:
    domain, sample = exchange_domain(neg_risk=False), OrderParams(
        1, KEY.address, KEY.address, 5, 1, 1, 0, 0, 1
    )  # fmt: skip
    form = OrderForm(KEY, sample, domain, "me", OrderType.GTC, post_only=False)
    first = form.fill(1, 2, 3, 4)
    for numbers in ((-1, 2, 3, 4), (1, 2**64, 3, 4), (1, 2, -3, 4), (1, 2, 3, 2**64)):
        with pytest.raises(OrderError):
            form.fill(*numbers)
    assert form.fill(1, 2, 3, 4) == first
    for signature_type, named in ((3, WALLET), (0, WALLET)):
        wrong = OrderParams(1, WALLET, named, 5, 1, 1, 0, signature_type, 1)
        with pytest.raises(OrderError):
            OrderForm(KEY, wrong, domain, "me", OrderType.GTC, post_only=False)
    assert KEY.address in repr(form)
