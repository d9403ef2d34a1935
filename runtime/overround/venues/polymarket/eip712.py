"""Words and hashes of EIP-712, the format in which wallets sign structured data.

A value becomes one 32-byte big-endian word; a struct is the keccak of its type hash and its
words; a digest binds the struct to a domain (which contract, which chain). This module only lays
out bytes; the hashing is safe-pysha3's.
"""

from __future__ import annotations

from functools import lru_cache

import sha3

from overround.errors import OrderError

WORD_BYTES = 32
ADDRESS_BYTES = 20
WORD_ZERO = bytes(WORD_BYTES)
_UINT256_END = 1 << 256


def keccak256(data: bytes | bytearray | memoryview) -> bytes:
    """Return the 32-byte Keccak-256 (not SHA3-256) of the data."""
    digest: bytes = sha3.keccak_256(data).digest()
    return digest


def uint_word(value: int) -> bytes:
    """Return an unsigned 256-bit word; OrderError outside 0 to 2**256 - 1."""
    if not 0 <= value < _UINT256_END:
        raise OrderError(f"{value} does not fit an unsigned 256-bit word")
    return value.to_bytes(WORD_BYTES, "big")


def parse_address(text: str) -> bytes:
    """Return the 20 bytes of a ``0x`` address in any letter case; OrderError if it is none."""
    if len(text) != 2 + 2 * ADDRESS_BYTES or text[:2] not in ("0x", "0X"):
        raise OrderError(f"{text!r} is not an address (0x and 40 hex digits)")
    try:
        raw = bytes.fromhex(text[2:])
    except ValueError:
        raw = b""
    if len(raw) != ADDRESS_BYTES:  # fromhex skips blanks
        raise OrderError(f"{text!r} is not an address (0x and 40 hex digits)")
    return raw


@lru_cache(maxsize=4096)
def address_word(text: str) -> bytes:
    """Return an address as a 32-byte word; OrderError if the text is no address."""
    return bytes(WORD_BYTES - ADDRESS_BYTES) + parse_address(text)


@lru_cache(maxsize=4096)
def checksum_address(raw: bytes) -> str:
    """Return the mixed-case (EIP-55) text of a 20-byte address."""
    plain = raw.hex()
    digest = keccak256(plain.encode()).hex()
    cased = (
        letter.upper() if nibble >= "8" else letter
        for letter, nibble in zip(plain, digest, strict=False)
    )
    return "0x" + "".join(cased)


def domain_separator(name: str, version: str, chain_id: int, contract: str | None) -> bytes:
    """Return the 32 bytes that tie a signature to one application, chain and contract.

    Without a contract the domain has three members, as the login domain does.
    """
    members = "string name,string version,uint256 chainId"
    words = keccak256(name.encode()) + keccak256(version.encode()) + uint_word(chain_id)
    if contract is not None:
        members += ",address verifyingContract"
        words += address_word(contract)
    return keccak256(keccak256(f"EIP712Domain({members})".encode()) + words)


def typed_digest(separator: bytes, struct_hash: bytes) -> bytes:
    """Return the digest that is signed: domain and struct under the prefix 0x1901."""
    return keccak256(b"\x19\x01" + separator + struct_hash)
