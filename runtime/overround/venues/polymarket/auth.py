"""Who we are to the venue: the wallet key (L1) and the API credentials derived from it (L2).

Both directions live here, because the exchange in the box checks what the client signs. Nothing
secret ever enters a repr, a message of an exception, or a pickle.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Mapping
from typing import Any, NoReturn

from coincurve import PrivateKey, PublicKey

from overround._native import lib
from overround.errors import ConfigError, OrderError
from overround.venues.polymarket.eip712 import (
    ADDRESS_BYTES,
    WORD_BYTES,
    address_word,
    checksum_address,
    domain_separator,
    keccak256,
    typed_digest,
    uint_word,
)

CHAIN_ID = 137
"""Polygon, where the venue settles."""

SIGNATURE_BYTES = 65

_CURVE_ORDER = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141
_LOGIN_MESSAGE_HASH = keccak256(b"This message attests that I control the given wallet")
_LOGIN_TYPE_HASH = keccak256(
    b"ClobAuth(address address,string timestamp,uint256 nonce,string message)"
)


class Signer:
    """A wallet key. ``address`` is its checksummed address, ``address_raw`` its 20 bytes."""

    __slots__ = ("_key", "address", "address_raw")

    def __init__(self, private_key: str | bytes) -> None:
        """Take 32 bytes or 64 hex digits (``0x`` allowed); ConfigError if it is no key."""
        self._key = _load_key(private_key)
        point = self._key.public_key.format(compressed=False)
        self.address_raw = keccak256(point[1:])[-ADDRESS_BYTES:]
        self.address = checksum_address(self.address_raw)

    def sign_digest(self, digest: bytes) -> bytes:
        """Return the 65-byte signature (r, s, v = 27 or 28) of a 32-byte digest.

        Deterministic (RFC 6979): the same digest always gives the same bytes.
        """
        signature = self._key.sign_recoverable(digest, hasher=None)
        return signature[:64] + (b"\x1c" if signature[64] else b"\x1b")

    def __repr__(self) -> str:
        return f"Signer({self.address}, key hidden)"

    def __reduce__(self) -> NoReturn:
        raise TypeError("a signing key is never pickled or copied")


def _load_key(private_key: str | bytes) -> PrivateKey:
    try:
        raw = private_key if isinstance(private_key, bytes) else _unhex(private_key)
        if len(raw) != WORD_BYTES:
            raise ValueError
        return PrivateKey(raw)
    except ValueError:
        # The cause would carry the text of the key: it is cut off on purpose.
        raise ConfigError(
            "the private key is not usable: expected 32 bytes as 64 hex digits, with or "
            "without 0x, between 1 and the order of the curve"
        ) from None


def _unhex(text: str) -> bytes:
    plain = text.strip()
    return bytes.fromhex(plain[2:] if plain[:2] in ("0x", "0X") else plain)


def recover_address(digest: bytes, signature: bytes) -> str | None:
    """Return the checksummed address that signed a 32-byte digest, or None.

    None for a wrong length, a v other than 27 or 28, no point on the curve, or an s in the
    upper half (the settlement contracts refuse that twin of a valid signature).
    """
    if len(signature) != SIGNATURE_BYTES or len(digest) != WORD_BYTES:
        return None
    if signature[64] not in (27, 28):
        return None
    if int.from_bytes(signature[32:64], "big") > _CURVE_ORDER // 2:
        return None
    compact = signature[:64] + bytes((signature[64] - 27,))
    try:
        key = PublicKey.from_signature_and_message(compact, digest, hasher=None)
    except Exception:  # coincurve raises bare Exception when no key fits
        return None
    return checksum_address(keccak256(key.format(compressed=False)[1:])[-ADDRESS_BYTES:])


def login_digest(address: str, timestamp_s: int, nonce: int, chain_id: int) -> bytes:
    """Return the digest a wallet signs to obtain API credentials."""
    struct_hash = keccak256(
        _LOGIN_TYPE_HASH
        + address_word(address)
        + keccak256(str(timestamp_s).encode())
        + uint_word(nonce)
        + _LOGIN_MESSAGE_HASH
    )
    return typed_digest(domain_separator("ClobAuthDomain", "1", chain_id, None), struct_hash)


def l1_headers(
    signer: Signer, timestamp_s: int, nonce: int = 0, chain_id: int = CHAIN_ID
) -> dict[str, str]:
    """Return the headers that prove ownership of the wallet; ``timestamp_s`` is wall time.

    The credentials depend on address and nonce, so the same nonce derives the same ones.
    """
    digest = login_digest(signer.address, timestamp_s, nonce, chain_id)
    return {
        "POLY_ADDRESS": signer.address,
        "POLY_SIGNATURE": "0x" + signer.sign_digest(digest).hex(),
        "POLY_TIMESTAMP": str(timestamp_s),
        "POLY_NONCE": str(nonce),
    }


def verify_l1(headers: Mapping[str, str], chain_id: int = CHAIN_ID) -> str | None:
    """Return the checksummed address that signed these login headers, or None.

    None whenever a header is missing, malformed, or signed by another wallet.
    """
    try:
        address = headers["POLY_ADDRESS"]
        timestamp_s = _plain_int(headers["POLY_TIMESTAMP"])
        nonce = _plain_int(headers.get("POLY_NONCE", "0"))
        signature = _unhex(headers["POLY_SIGNATURE"])
        digest = login_digest(address, timestamp_s, nonce, chain_id)
    except (KeyError, ValueError, OrderError):
        return None
    signed_by = recover_address(digest, signature)
    return signed_by if signed_by and signed_by.lower() == address.lower() else None


def _plain_int(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) <= 20):
        raise ValueError("not a plain number")
    return int(text)


class Credentials:
    """The API key triple; ``owner`` of every order is ``api_key``.

    Equality compares all three; the repr shows the key's first eight characters only.
    """

    __slots__ = ("_mac_key", "api_key", "passphrase", "secret")

    def __init__(self, api_key: str, secret: str, passphrase: str) -> None:
        """Take the triple as the venue gave it; ConfigError if the secret is not base64."""
        self.api_key = api_key
        self.secret = secret
        self.passphrase = passphrase
        try:
            padded = secret + "=" * (-len(secret) % 4)
            self._mac_key = base64.b64decode(padded.encode("ascii"), altchars=b"-_", validate=True)
        except ValueError:
            raise ConfigError("the API secret is not URL-safe base64") from None
        if not self._mac_key:
            raise ConfigError("the API secret is empty")

    def signature(self, timestamp_s: int, method: str, path: str, body: bytes = b"") -> str:
        """Return the base64 HMAC of one request; ``path`` without host and query."""
        message = f"{timestamp_s}{method}{path}".encode() + body
        digest = hmac.digest(self._mac_key, message, hashlib.sha256)
        return base64.urlsafe_b64encode(digest).decode("ascii")

    def native_mac(self, ret: Any) -> None:
        """Let a ``struct ovr_mac`` take in the key."""
        lib.ovr_mac_init(ret, self._mac_key, len(self._mac_key))

    def mac(self) -> hmac.HMAC:
        """Return an HMAC that has taken in the key: copy it, update the copy with the message."""
        return hmac.new(self._mac_key, digestmod="sha256")

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Credentials):
            return NotImplemented
        return (self.api_key, self.secret, self.passphrase) == (
            other.api_key,
            other.secret,
            other.passphrase,
        )

    def __hash__(self) -> int:
        return hash(self.api_key)

    def __repr__(self) -> str:
        return f"Credentials({self.api_key[:8]}..., secret and passphrase hidden)"

    def __reduce__(self) -> NoReturn:
        raise TypeError("API credentials are never pickled or copied")


def l2_headers(
    credentials: Credentials,
    address: str,
    timestamp_s: int,
    method: str,
    path: str,
    body: bytes = b"",
) -> dict[str, str]:
    """Return the headers of one authenticated request.

    ``address`` is the signing wallet (also where another wallet holds the funds), ``body`` the
    very bytes that are sent. A query behind ``?`` is not part of what is signed.
    """
    plain_path = path.partition("?")[0]
    return {
        "POLY_ADDRESS": address,
        "POLY_API_KEY": credentials.api_key,
        "POLY_PASSPHRASE": credentials.passphrase,
        "POLY_TIMESTAMP": str(timestamp_s),
        "POLY_SIGNATURE": credentials.signature(timestamp_s, method, plain_path, body),
    }


def verify_l2(
    headers: Mapping[str, str],
    credentials: Credentials,
    address: str,
    method: str,
    path: str,
    body: bytes = b"",
) -> bool:
    """Return whether these headers were made with the credentials for exactly this request.

    The official clients turn every apostrophe of the body into a quotation mark before they
    sign (a relic); both readings of such a body are accepted.
    """
    try:
        timestamp_s = _plain_int(headers["POLY_TIMESTAMP"])
        signature = headers["POLY_SIGNATURE"].encode()
        api_key = headers["POLY_API_KEY"].encode()
        passphrase = headers["POLY_PASSPHRASE"].encode()
        claimed = headers["POLY_ADDRESS"]
    except (KeyError, ValueError):
        return False
    if not hmac.compare_digest(api_key, credentials.api_key.encode()):
        return False
    if not hmac.compare_digest(passphrase, credentials.passphrase.encode()):
        return False
    if claimed.lower() != address.lower():
        return False
    plain_path = path.partition("?")[0]
    return any(
        hmac.compare_digest(
            signature, credentials.signature(timestamp_s, method, plain_path, text).encode()
        )
        for text in (body, body.replace(b"'", b'"'))
    )
