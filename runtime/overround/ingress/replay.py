"""Recorded bytes through the same decoder and books as live ones.

Input is told by content: raw frames one a line, or objects that hold a frame under ``raw``
(text or JSON) with an optional ``recv_ms`` or ``recv_ns``; a whole-file JSON array of either;
answers of the REST book requests, bare or in either form; a tap file of an ingress (``.ovt``).
``.zst`` files are unpacked on the way.

Bursts end as the venue's timestamps say, not as the recording's clock does: a recorder that
stalled in the middle of a burst shall not cost the book its trust. A tap is replayed as it
happened, timer ticks included.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import zstandard

from overround._native import ffi
from overround.book.engine import NEVER_NS, FeedEngine
from overround.clock import NS_PER_MS, NS_PER_S, monotonic_ns
from overround.errors import ConfigError
from overround.layout.board import UntrustCause
from overround.observe.metrics import Value
from overround.shm.tap import TapKind, TapRecord, read_tap
from overround.units import format_price, format_size, parse_price

__all__ = ["MARKETS_MAX", "MarketMeta", "Replay", "load_meta", "read_frames"]

MARKETS_MAX = 4_096
"""Markets one replay learns; entries of further ones count as unknown assets."""

_CONTROL = frozenset({b"PING", b"PONG"})
_WHOLE_FILE_BYTES_MAX = 2**28
_ZSTD = b"\x28\xb5\x2f\xfd"
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
_RECV_NS_MAX = 2**62
_UNREADABLE = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)


class MarketMeta(msgspec.Struct, frozen=True, forbid_unknown_fields=False):
    """Members of the hash recipe that a recording may lack, as the venue formats them."""

    tick_size: str | None = None
    min_order_size: str | None = None
    neg_risk: bool | None = None
    last_trade_price: str | None = None


def load_meta(path: Path) -> dict[str, MarketMeta]:
    """Return the recipe members by condition id; raises ConfigError for an unusable file."""
    try:
        meta = msgspec.json.decode(path.read_bytes(), type=dict[str, MarketMeta])
        for known in meta.values():
            parse_price(known.tick_size or "0.01")
    except OSError as error:
        raise ConfigError(f"cannot read {path}: {error.strerror}") from None
    except (msgspec.DecodeError, msgspec.ValidationError, ValueError) as error:
        raise ConfigError(
            f"{path} does not map condition ids to tick_size, min_order_size, neg_risk, "
            f"last_trade_price: {error}"
        ) from None
    return meta


@dataclass(frozen=True, slots=True)
class Frame:
    """One recorded frame; ``recv_ns`` is 0 where the recording has no receive time."""

    payload: bytes
    recv_ns: int


def read_frames(path: Path) -> Iterator[Frame]:
    """Yield the frames of a recording in order; raises ConfigError if it cannot be read."""
    try:
        with path.open("rb") as raw:
            packed = raw.read(len(_ZSTD)) == _ZSTD
            raw.seek(0)
            stream: Any = raw
            if packed:
                stream = io.BufferedReader(zstandard.ZstdDecompressor().stream_reader(raw))
            first = stream.readline().removeprefix(_BYTE_ORDER_MARK)
            while first.isspace():
                first = stream.readline()
            if first.strip() in (b"[", b"{"):  # laid out for people: no frame a line
                whole = first + stream.read(_WHOLE_FILE_BYTES_MAX)
                yield from _frames_of_document(path, whole)
                return
            yield from _frames_of_line(first)
            for line in stream:
                yield from _frames_of_line(line)
    except OSError as error:
        raise ConfigError(f"cannot read {path}: {error.strerror or error}") from None
    except zstandard.ZstdError as error:
        raise ConfigError(f"{path} is no whole zstandard file: {error}") from None


def _frames_of_line(line: bytes) -> Iterator[Frame]:
    text = line.strip()
    if not text:
        return
    if b'"raw"' in text:
        try:
            item = msgspec.json.decode(text)
        except _UNREADABLE:
            yield Frame(text, 0)  # a torn line: the decoder shall count it
            return
        if isinstance(item, list) and item and all(_is_envelope(part) for part in item):
            yield from (_unwrap(part, b"") for part in item)
        else:
            yield _unwrap(item, text)
        return
    yield Frame(text, 0)


def _frames_of_document(path: Path, whole: bytes) -> Iterator[Frame]:
    try:
        document = msgspec.json.decode(whole)
    except _UNREADABLE as error:
        raise ConfigError(
            f"{path} holds neither a frame a line nor one JSON document: {error}"
        ) from None
    for item in document if isinstance(document, list) else [document]:
        yield _unwrap(item, msgspec.json.encode(item))


def _is_envelope(item: Any) -> bool:
    if not isinstance(item, dict):
        return False
    if "event_type" not in item:
        return "raw" in item or "json" in item
    # Recorders note the type beside the frame; a frame's own odd member ``raw`` holds no frame.
    raw = item.get("raw")
    return isinstance(raw, dict | list) or (isinstance(raw, str) and raw.lstrip()[:1] in ("{", "["))


def _unwrap(item: Any, text: bytes) -> Frame:
    """Return the frame inside a recorder's envelope, or the text itself if it is none."""
    if not _is_envelope(item):
        return Frame(text, 0)
    raw = item["raw"] if "raw" in item else item["json"]
    payload = raw.encode() if isinstance(raw, str) else msgspec.json.encode(raw)
    recv_ns = item.get("recv_ns")
    if not isinstance(recv_ns, int):
        recv_ms = item.get("recv_ms")
        recv_ns = recv_ms * NS_PER_MS if isinstance(recv_ms, int) else 0
    return Frame(payload.strip(), recv_ns if 0 <= recv_ns <= _RECV_NS_MAX else 0)


def _is_rest_answer(payload: bytes) -> bool:
    """Whether these are books as the REST side sends them: the same members but the type."""
    return b'"event_type"' not in payload and b'"bids"' in payload


class Replay:
    """Feeds recordings to one engine and reports what the books came to."""

    def __init__(self, meta: dict[str, MarketMeta] | None = None) -> None:
        """Start with no markets but those of ``meta``; others are learned as they appear."""
        self._markets_max = MARKETS_MAX + len(meta or {})
        self._engine = FeedEngine(markets_capacity=self._markets_max, audit_every=1, learn=True)
        self._frames = 0
        self._unknown_events = 0
        self._unknown_assets = 0
        self._malformed = 0
        self._recv_ns = 0
        self._elapsed_ns = 0
        self._tokens_of: dict[int, set[str]] = {}
        for index, (condition_id, known) in enumerate((meta or {}).items()):
            try:
                self._engine.add_market(
                    index,
                    condition_id,
                    "",
                    "",
                    parse_price(known.tick_size) if known.tick_size else 0,
                    known.min_order_size or "",
                    known.neg_risk,
                    known.last_trade_price or "",
                )
            except ValueError as error:
                raise ConfigError(f"metadata: {error}") from None

    def run(self, path: Path) -> None:
        """Replay one file; raises ConfigError if it cannot be read."""
        start_ns = monotonic_ns()
        if path.suffix == ".ovt":
            try:
                for record in read_tap([path]):
                    self._replay_record(record)
            except OSError as error:
                raise ConfigError(f"cannot read {path}: {error.strerror}") from None
        else:
            for frame in read_frames(path):
                if frame.payload not in _CONTROL:
                    polled = _is_rest_answer(frame.payload)
                    self.feed(frame.payload, frame.recv_ns, polled=polled)
        self._elapsed_ns += monotonic_ns() - start_ns

    def feed(self, payload: bytes, recv_ns: int = 0, *, polled: bool = False) -> None:
        """Replay one frame, or one REST answer if ``polled``.

        Without a receive time it counts as one nanosecond later.
        """
        self._recv_ns = max(self._recv_ns + 1, recv_ns)
        take = self._engine.on_rest_books if polled else self._engine.on_frame
        result = take(payload, self._recv_ns)
        self._frames += 1
        if result.malformed or result.unknown_events or result.unknown_assets:
            self._malformed += result.malformed
            self._unknown_events += result.unknown_events
            self._unknown_assets += result.unknown_assets

    def _replay_record(self, record: TapRecord) -> None:
        match record.kind:
            case TapKind.FRAME_IN:
                self.feed(record.payload, record.recv_ns)
            case TapKind.REST:
                self._engine.on_rest_books(record.payload, record.recv_ns)
            case TapKind.TICK:
                self._engine.flush(record.recv_ns)
            case TapKind.MARKET:
                self._add_market(record.payload)
            case TapKind.FRAME_OUT:
                self._note_subscription(record)
            case TapKind.CLOSE:
                for token in self._tokens_of.pop(record.connection, set()):
                    self._engine.untrust(
                        self._engine.find(token), UntrustCause.RECONNECT, record.recv_ns
                    )
            case _:
                pass

    def _add_market(self, payload: bytes) -> None:
        entry = msgspec.json.decode(payload)
        if self._engine.find(entry["condition_id"]) < 0:
            self._engine.add_market(
                entry["index"],
                entry["condition_id"],
                entry["token_yes"],
                entry["token_no"],
                entry["tick_ticks"],
                entry["min_size_text"],
                entry["neg_risk"],
            )

    def _note_subscription(self, record: TapRecord) -> None:
        try:
            said = msgspec.json.decode(record.payload)
        except msgspec.DecodeError:
            return  # a PING
        tokens = said.get("assets_ids", []) if isinstance(said, dict) else []
        on_connection = self._tokens_of.setdefault(record.connection, set())
        if isinstance(said, dict) and said.get("operation") == "unsubscribe":
            on_connection.difference_update(tokens)
        else:
            on_connection.update(tokens)

    def finish(self) -> dict[str, Any]:
        """End what is open and return the report; prices and sizes are decimal strings."""
        start_ns = monotonic_ns()
        self._engine.flush(NEVER_NS)
        self._elapsed_ns += monotonic_ns() - start_ns
        tokens: dict[str, dict[str, Any]] = {}
        for index in range(self._markets_max if self._engine.markets_count else 0):
            if len(tokens) >= 2 * self._engine.markets_count:
                break
            self._report_market(index, tokens)
        counter = self._engine.counter
        elapsed_ns = max(self._elapsed_ns, 1)
        return {
            "frames": self._frames,
            "changes": counter(Value.CHANGES),
            "unknown": self._unknown_events,
            "unknown_assets": self._unknown_assets,
            "malformed": self._malformed,
            "malformed_by_reason": {
                name: counter(value)
                for name, value in (
                    ("json", Value.MALFORMED_JSON),
                    ("type", Value.MALFORMED_TYPE),
                    ("value", Value.MALFORMED_VALUE),
                    ("too_large", Value.MALFORMED_TOO_LARGE),
                )
            },
            "stale": counter(Value.STALE_DROPPED),
            "snapshots": counter(Value.SNAPSHOTS),
            "prints": counter(Value.PRINTS),
            "hash_checked": sum(token["hash_checked"] for token in tokens.values()),
            "hash_failed": sum(token["hash_failed"] for token in tokens.values()),
            "hash_unchecked": sum(token["hash_unchecked"] for token in tokens.values()),
            "frames_per_second": self._frames * NS_PER_S // elapsed_ns,
            "tokens": tokens,
        }

    def _report_market(self, index: int, tokens: dict[str, dict[str, Any]]) -> None:
        try:
            state = self._engine.market_state(index)
        except IndexError:
            return
        for outcome, token in enumerate(state.tokens):
            name = ffi.string(token.token).decode()
            if not name or not (token.frames or state.has_snapshot):
                continue
            bids, asks = self._engine.levels(index, outcome)
            tokens[name] = {
                "market": ffi.string(state.condition_id).decode(),
                "bids": [[format_price(price), format_size(size)] for price, size in bids],
                "asks": [[format_price(price), format_size(size)] for price, size in asks],
                "frames": token.frames,
                "hash_checked": token.hash_passed + token.hash_failed,
                "hash_failed": token.hash_failed,
                "hash_unchecked": token.hash_unchecked,
                "trusted": bool(state.trusted),
                "untrusted_because": None
                if state.trusted
                else UntrustCause(state.cause).name.lower(),
                "could_not_check": _why_unchecked(state, token),
            }


def _why_unchecked(state: Any, token: Any) -> str | None:
    """Say why hashes of a token were not compared, or None if all that came were."""
    checked = token.hash_passed + token.hash_failed
    if checked and not token.hash_unchecked:
        return None
    if not checked and not state.has_snapshot:
        return "no whole book came"
    if not checked and not token.hash_unchecked:
        return "no hash in the recording"
    recipe = state.recipe
    missing = [
        name
        for name, absent in (
            ("last_trade_price", not recipe.last_known),
            ("min_order_size", recipe.min_size[0] == b"\0"),
            ("tick_size", recipe.tick_ticks == 0),
        )
        if absent
    ]
    if missing:
        return f"unknown {', '.join(missing)}: give it with --meta"
    return "before the first whole book, or before the recipe was known"
