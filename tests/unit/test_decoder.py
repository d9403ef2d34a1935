"""The native decoder against its twin, and what each kind of bad frame costs."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from oracle.decoder import JSON, TYPE, Decoded, decode
from oracle.frames import MARKET, NO, T0, YES, spaced, usual_book
from oracle.native_decoder import NativeDecoder

SEEDS = Path(__file__).resolve().parent.parent / "data" / "market_channel"


@pytest.fixture(scope="module")
def native() -> NativeDecoder:
    return NativeDecoder()


def both(native: NativeDecoder, frame: bytes) -> Decoded:
    """Decode natively; the twin must agree to the last field."""
    decoded = native.decode(frame)
    assert decoded == decode(frame)
    return decoded


def seeds() -> list[Path]:
    return sorted(SEEDS.glob("*.json"))


@pytest.mark.parametrize("path", seeds(), ids=lambda path: path.stem)
def test_every_seed_frame_decodes_as_its_twin_says(native: NativeDecoder, path: Path):
    frame = path.read_bytes()
    decoded = both(native, frame)
    whole = decoded.reason == 0 and not (decoded.rejected_type or decoded.rejected_value)
    assert whole == (not path.stem.startswith("bad_"))
    assert both(native, frame[:-2]).reason == JSON


def test_there_are_seeds_of_every_kind(native: NativeDecoder):
    kinds = {event.type for path in seeds() for event in native.decode(path.read_bytes()).events}
    assert len(kinds) == 7
    assert len(seeds()) >= 20


@pytest.mark.recorded
def test_recorded_frames_decode_as_their_twin_says_and_none_is_malformed(recorded: Path):
    native = NativeDecoder(changes=65_536)
    frames = (recorded / "polymarket_ws/raw_3markets_20260927.ndjson").read_bytes().splitlines()
    bursts = json.loads((recorded / "polymarket_ws/raw_bursts_tennis_20260911.json").read_text())
    frames += [f["raw"].encode() for batch in bursts["batches"] for f in batch["frames"]]
    frames = [frame for frame in frames if frame.strip()]
    assert len(frames) == 79
    for frame in frames:
        decoded = both(native, frame)
        assert (decoded.reason, decoded.rejected_type, decoded.rejected_value) == (0, 0, 0)
        assert decoded.unknown == 0


@pytest.mark.recorded
def test_messages_of_every_era_decode_as_their_twin_says(recorded: Path):
    native = NativeDecoder(changes=65_536)
    kinds = set()
    for path in sorted((recorded / "messages").glob("polymarket_market_*.json")):
        for item in json.loads(path.read_text()):
            frame = (item.get("raw") or json.dumps(item["json"])).encode()
            decoded = both(native, frame)
            assert decoded.reason == decoded.rejected_type == decoded.rejected_value == 0, path
            kinds |= {event.type for event in decoded.events}
    assert len(kinds) == 7


@pytest.mark.recorded
def test_recorded_rest_books_decode_without_event_type(recorded: Path):
    native = NativeDecoder(changes=65_536)
    frame = (recorded / "polymarket_rest/negrisk_event_fed-june-2026_clob-books.json").read_bytes()
    decoded = native.decode(frame, rest=True)
    assert decoded == decode(frame, default_type="book")
    assert len(decoded.events) == 10
    assert native.decode(frame).rejected_type == 10


def test_members_may_come_in_any_order_and_values_as_numbers(native: NativeDecoder):
    first = (
        b'{"event_type":"last_trade_price","market":"m","asset_id":"a","price":0.5,'
        b'"size":10.25,"side":"SELL","timestamp":1700000000000}'
    )
    last = (
        b'{"timestamp":"1700000000000", "side":"SELL", "size":"10.25", "price":"0.5", '
        b'"asset_id":"a", "market":"m", "event_type":"last_trade_price"}'
    )
    assert both(native, first) == both(native, last)
    [event] = native.decode(first).events
    assert (event.price_ticks, event.size_lots, event.side) == (5_000, 10_250_000, 1)


def test_escapes_are_resolved_in_names_and_values(native: NativeDecoder):
    frame = (
        rb'{"\u006darket":"\u0030x\u0061b\/c","event\u005ftype":"best\u005fbid_ask",'
        rb'"asset_id":"1","timestamp":"5","best_bid":"\u0030.5"}'
    )
    [event] = both(native, frame).events
    assert (event.market, event.type, event.bid_ticks) == ("0xab/c", "best_bid_ask", 5_000)


def test_a_bad_object_leaves_its_neighbours(native: NativeDecoder):
    good = json.loads(usual_book().change((0, 5_200), epoch_ms=T0))
    bad = json.loads(usual_book().change((0, 5_200), epoch_ms=T0))
    bad["price_changes"][1]["price"] = "0.52001"
    decoded = both(native, spaced([good, bad, 7, {"event_type": "jubilee"}, good]))
    assert [len(event.changes) for event in decoded.events] == [2, 2]
    assert (decoded.rejected_value, decoded.rejected_type, decoded.unknown) == (1, 1, 1)


def test_a_broken_structure_yields_nothing(native: NativeDecoder):
    good = usual_book().change((0, 5_200), epoch_ms=T0)
    for broken in (b"[" + good + b", {]", good + b"}", good[:-1], b"", b" \n", b"PONG", b"\xff"):
        assert both(native, broken) == Decoded(reason=JSON)
    assert both(native, b"12").reason == TYPE


def test_nesting_is_limited(native: NativeDecoder):
    def nested(depth: int) -> bytes:
        inner = b"[" * depth + b"]" * depth
        return b'{"event_type":"x","other":' + inner + b"}"

    assert both(native, nested(31)).unknown == 1
    assert both(native, nested(32)).reason == JSON
    assert native.decode(b"[" * 100_000).reason == JSON


@pytest.mark.parametrize(
    ("member", "value", "reason"),
    [
        ("price", "0.00001", "value"),
        ("price", "1", "value"),
        ("price", "0", "value"),
        ("price", "-0.5", "value"),
        ("price", "5e-1", "value"),
        ("price", ".5", "value"),
        ("price", "", "value"),
        ("price", None, "type"),
        ("price", True, "type"),
        ("price", ["0.5"], "type"),
        ("size", "0.0000001", "value"),
        ("size", "9223372036854.775808", "value"),
        ("size", "99999999999999999999999", "value"),
        ("side", "buy", "value"),
        ("side", 1, "type"),
        ("hash", 5, "type"),
        ("best_bid", "1.5", "value"),
        ("best_ask", {}, "type"),
        ("asset_id", "", "value"),
        ("asset_id", "a b", "value"),
        ("asset_id", 12, "type"),
    ],
)
def test_a_bad_member_is_counted_by_reason(
    native: NativeDecoder, member: str, value: object, reason: str
):
    message = json.loads(usual_book().change((0, 5_200), epoch_ms=T0))
    message["price_changes"][0][member] = value
    decoded = both(native, spaced(message))
    assert decoded.events == []
    assert (decoded.rejected_type, decoded.rejected_value) == (reason == "type", reason == "value")


@pytest.mark.parametrize("value", ["9223372036854.775807", "0", "0.000000", "12.3400000000"])
def test_extreme_sizes_are_exact(native: NativeDecoder, value: str):
    message = json.loads(usual_book().change((0, 5_200), epoch_ms=T0))
    message["price_changes"][0]["size"] = value
    assert both(native, spaced(message)).rejected_value == 0


def test_a_doubled_member_is_ambiguous_and_refused(native: NativeDecoder):
    frame = usual_book().change((0, 5_200), epoch_ms=T0)
    doubled = frame.replace(b'"timestamp"', b'"timestamp":"1", "timestamp"', 1)
    assert both(native, doubled).rejected_type == 1
    inner = frame.replace(b'"side"', b'"side":"SELL", "side"', 1)
    assert both(native, inner).rejected_type == 1


def test_more_levels_than_the_batch_holds_are_too_large():
    small = NativeDecoder(events=1, changes=3)
    frame = usual_book().change((0, 5_200), (0, 5_100), epoch_ms=T0)
    assert small.decode(frame).reason == 4
    assert small.decode(usual_book().change((0, 5_200), epoch_ms=T0)).reason == 0
    two = spaced([json.loads(usual_book().trade(5_000, 1, T0))] * 2)
    assert small.decode(two).reason == 4


def test_names_of_the_made_up_market_are_in_the_shape_of_real_ones():
    assert (len(MARKET), len(YES), len(NO)) == (66, 77, 77)
