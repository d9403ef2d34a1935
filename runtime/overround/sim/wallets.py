"""The wallets of one key: the key itself, its proxy, its Safe, its deposit wallet.

An order's signature type says which of them pays. The three contract wallets stand at the
addresses where the venue's factories would put them (CREATE2 of the key), which is also how the
official clients recognise them. Each has its own balance and its own allowances.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from overround.venues.polymarket.eip712 import (
    address_word,
    checksum_address,
    keccak256,
    parse_address,
)
from overround.venues.polymarket.orders import SignatureType

__all__ = ["UNLIMITED", "WALLET_NAMES", "Wallet", "wallet_addresses"]

UNLIMITED = 2**256 - 1
"""The allowance of a wallet that has approved a spender once and for all."""

WALLET_NAMES = {
    SignatureType.POLY_PROXY: "proxy",
    SignatureType.POLY_GNOSIS_SAFE: "safe",
    SignatureType.POLY_1271: "deposit",
}

_PROXY_FACTORY = "0xaB45c5A4B0c941a2F231C04C3f49182e1A254052"
_PROXY_CODE = "0x44e999d5c2F66Ef0861317f9A4805AC2e90aEB4f"
_SAFE_FACTORY = "0xaacFeEa03eb1561C4e67d661e40682Bd20E3541b"
_SAFE_INIT_HASH = bytes.fromhex("2bce2127ff07fb632d16c8347c4ebf501f4841168bed00d9e6ef715ddb6fcecf")
_DEPOSIT_FACTORY = "0x00000000000Fb5C9ADea0298D729A0CB3823Cc07"
_DEPOSIT_BEACON = "0x7A18EDfe055488A3128f01F563e5B479D92ffc3a"

# Creation code of the proxy and of the deposit wallet's beacon proxy, around their addresses.
_PROXY_HEAD = bytes.fromhex("3d3d606380380380913d393d73")
_PROXY_MIDDLE = bytes.fromhex("5af4602a57600080fd5b602d8060366000396000f3363d3d373d3d3d363d73")
_PROXY_TAIL = bytes.fromhex("5af43d82803e903d91602b57fd5bf352e831dd")
_BEACON_HEAD = 0x6100523D8160233D3973
_BEACON_TAIL = bytes.fromhex(
    "60195155f3363d3d373d3d363d602036600436635c60da"
    "1b60e01b36527fa3f0ad74e5423aebfd80d3ef4346578335a9a72aeaee59ff6c"
    "b3582b35133d50545afa5036515af43d6000803e604d573d6000fd5b3d6000f3"
)


def _create2(factory: str, salt: bytes, init_hash: bytes) -> str:
    raw = keccak256(b"\xff" + parse_address(factory) + salt + init_hash)
    return checksum_address(raw[12:])


def _proxy(key: bytes) -> str:
    code = _PROXY_HEAD + parse_address(_PROXY_FACTORY) + _PROXY_MIDDLE + parse_address(_PROXY_CODE)
    code += _PROXY_TAIL + (32).to_bytes(32, "big") + bytes(32)
    return _create2(_PROXY_FACTORY, keccak256(key), keccak256(code))


def _deposit(key: bytes) -> str:
    arguments = address_word(_DEPOSIT_FACTORY) + key.rjust(32, b"\0")
    head = (_BEACON_HEAD + (len(arguments) << 56)).to_bytes(10, "big")
    code = head + parse_address(_DEPOSIT_BEACON) + _BEACON_TAIL + arguments
    return _create2(_DEPOSIT_FACTORY, keccak256(arguments), keccak256(code))


def wallet_addresses(address: str) -> tuple[str, str, str, str]:
    """Return the checksummed wallets of a key's address, by signature type 0 to 3."""
    key = parse_address(address)
    safe = _create2(_SAFE_FACTORY, keccak256(key.rjust(32, b"\0")), _SAFE_INIT_HASH)
    return checksum_address(key), _proxy(key), safe, _deposit(key)


@dataclass(slots=True)
class Wallet:
    """One place money is in. ``account`` is its number in the engine.

    Allowances are by (asset, spender in lower case), asset "COLLATERAL" or "CONDITIONAL"; what
    is not set is unlimited. The exchange goes by what it last read, as the venue does: a change
    counts once ``refresh`` was called (at the venue: GET /balance-allowance/update).
    """

    account: int
    address: str
    signature_type: SignatureType
    on_chain: dict[tuple[str, str], int] = field(default_factory=dict)
    known: dict[tuple[str, str], int] = field(default_factory=dict)

    def approve(self, asset: str, spender: str, amount: int) -> None:
        """Set an allowance on the chain."""
        self.on_chain[asset, spender.lower()] = amount

    def refresh(self) -> None:
        """Read every allowance from the chain again."""
        self.known = dict(self.on_chain)

    def allowance(self, asset: str, spender: str) -> int:
        """Return what the exchange believes the spender may take."""
        return self.known.get((asset, spender.lower()), UNLIMITED)
