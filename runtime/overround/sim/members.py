"""Who trades at the exchange: wallets, their API credentials, their account numbers.

Credentials depend only on (exchange seed, address, nonce), so an exchange that was restarted
with the same seed derives the same ones.
"""

from __future__ import annotations

import base64
import hashlib
import uuid
from dataclasses import dataclass, field

from overround.sim.wallets import Wallet, wallet_addresses
from overround.venues.polymarket.auth import Credentials, Signer
from overround.venues.polymarket.orders import SignatureType

__all__ = ["FIRST_MEMBER_ACCOUNT", "WALLETS", "Member", "Members", "funded_signers", "owner_of"]

FIRST_MEMBER_ACCOUNT = 1_000
"""Account numbers below belong to the synthetic flow."""

WALLETS = len(SignatureType)
"""Account numbers a member has: its own, then one a contract wallet, by signature type."""


def funded_signers(seed: int, count: int) -> list[tuple[str, Signer]]:
    """Return ``count`` test wallets as (private key, signer): play keys, never to be funded."""
    pairs = []
    for number in range(count):
        text = f"overround exchange test wallet {seed}/{number}"
        key = "0x" + hashlib.sha256(text.encode()).hexdigest()
        pairs.append((key, Signer(key)))
    return pairs


def owner_of(account: int) -> int:
    """Return the number of the member that a wallet's account belongs to."""
    return account - (account - FIRST_MEMBER_ACCOUNT) % WALLETS


@dataclass(slots=True)
class Member:
    """One key (by its checksummed address), its wallets and the API keys made for it.

    ``account`` is that of the key's own address, signature type 0; ``wallets`` has all four.
    """

    account: int
    address: str
    wallets: tuple[Wallet, ...]
    keys: dict[int, Credentials] = field(default_factory=dict)
    heartbeat_id: str = ""
    heartbeat_ns: int = 0


class Members:
    """All keys seen, by address, account and API key. A key joins with its first login."""

    def __init__(self, seed: int) -> None:
        self._seed = seed
        self.by_account: dict[int, Member] = {}
        self._by_address: dict[str, Member] = {}
        self._wallets: dict[str, Wallet] = {}
        self._by_key: dict[str, tuple[Member, Credentials]] = {}

    def join(self, address: str) -> Member:
        """Return the member of an address, new (and without money) if it was never seen."""
        member = self._by_address.get(address.lower())
        if member is None:
            first = FIRST_MEMBER_ACCOUNT + WALLETS * len(self.by_account)
            wallets = tuple(
                Wallet(first + kind, wallet, SignatureType(kind))
                for kind, wallet in enumerate(wallet_addresses(address))
            )
            member = Member(first, wallets[0].address, wallets)
            self._by_address[address.lower()] = member
            self._wallets.update((wallet.address.lower(), wallet) for wallet in wallets)
            self.by_account[member.account] = member
        return member

    def wallet(self, address: str) -> Wallet | None:
        """Return the wallet at an address, a key's own or a contract, None if it is unknown."""
        return self._wallets.get(address.lower())

    def find(self, api_key: str) -> tuple[Member, Credentials] | None:
        """Return the owner of an API key, None if the key is unknown."""
        return self._by_key.get(api_key)

    def create_key(self, address: str, nonce: int) -> Credentials | None:
        """Return new credentials, None if the pair of address and nonce has some already."""
        member = self.join(address)
        if nonce in member.keys:
            return None
        material = f"{self._seed}/{member.address.lower()}/{nonce}".encode()
        credentials = Credentials(
            str(uuid.UUID(bytes=hashlib.sha256(b"key/" + material).digest()[:16], version=4)),
            base64.urlsafe_b64encode(hashlib.sha256(b"secret/" + material).digest()).decode(),
            hashlib.sha256(b"passphrase/" + material).hexdigest(),
        )
        member.keys[nonce] = credentials
        self._by_key[credentials.api_key] = (member, credentials)
        return credentials

    def derive_key(self, address: str, nonce: int) -> Credentials | None:
        """Return the existing credentials of a pair, None if none were created."""
        return self.join(address).keys.get(nonce)

    def delete_key(self, api_key: str) -> None:
        """Forget an API key; its nonce may be used again."""
        found = self._by_key.pop(api_key, None)
        if found:
            member, credentials = found
            member.keys = {n: c for n, c in member.keys.items() if c != credentials}
