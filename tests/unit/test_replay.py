"""Replay: every kind of input, what it reports, and what it says it could not verify."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import zstandard
from typer.testing import CliRunner

from oracle.frames import MARKET, NO, T0, YES, VenueBook, spaced, usual_book
from overround.cli.main import app
from overround.errors import ConfigError, OverroundError
from overround.ingress.replay import MARKETS_MAX, Replay, load_meta, read_frames
from overround.shm.tap import TapKind, TapWriter

SHARE = 1_000_000


def session(book: VenueBook) -> list[bytes]:
    """An opening, a change, a trade with its refreshed books, and a tick of silence."""
    frames = [book.opening(T0)]
    book.set(0, 5_200, 70 * SHARE)
    frames.append(book.change((0, 5_200), epoch_ms=T0 + 10))
    book.last = "0.54"
    book.set(1, 5_400, 100 * SHARE)
    frames.append(book.change((1, 5_400), epoch_ms=T0 + 20))
    frames += [spaced(book.book(outcome, T0 + 20)) for outcome in (0, 1)]
    frames.append(book.trade(5_400, 110 * SHARE, T0 + 57))
    return frames


def report_of(*frames: bytes) -> dict:
    run = Replay()
    for frame in frames:
        run.feed(frame)
    return run.finish()


def run_cli(*arguments: object) -> dict:
    result = CliRunner().invoke(app, ["replay", *map(str, arguments), "--json"])
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


@pytest.fixture
def recording(tmp_path: Path) -> Path:
    path = tmp_path / "frames.ndjson"
    lines = [frame.strip() for frame in session(usual_book())]
    path.write_bytes(b"\n\n".join(lines) + b"\n")
    return path


def test_a_session_is_rebuilt_and_verified(recording: Path):
    report = run_cli(recording)
    assert (report["frames"], report["malformed"], report["unknown"]) == (6, 0, 0)
    assert (report["changes"], report["snapshots"], report["prints"]) == (4, 4, 1)
    assert (report["hash_checked"], report["hash_failed"], report["hash_unchecked"]) == (8, 0, 0)
    assert report["frames_per_second"] > 0
    yes, no = report["tokens"][YES], report["tokens"][NO]
    assert yes["bids"] == [["0.52", "70"], ["0.51", "420.5"], ["0.5", "100"]]
    assert yes["asks"] == [["0.54", "100"], ["0.55", "35.25"], ["0.6", "9000"]]
    assert no["bids"] == [["0.46", "100"], ["0.45", "35.25"], ["0.4", "9000"]]
    assert (yes["frames"], no["frames"]) == (5, 4)
    assert yes["trusted"]
    assert yes["could_not_check"] is None
    assert (yes["hash_checked"], yes["hash_failed"], yes["market"]) == (4, 0, MARKET)


def test_every_kind_of_input_gives_the_same_books(tmp_path: Path, recording: Path):
    frames = session(usual_book())
    expected = run_cli(recording)["tokens"]

    def write(name: str, content: bytes) -> Path:
        path = tmp_path / name
        path.write_bytes(content)
        return path

    as_text = [{"recv_ms": T0 + n, "raw": f.decode()} for n, f in enumerate(frames)]
    as_json = [{"recv_ns": n, "raw": json.loads(f)} for n, f in enumerate(frames, 1)]
    inputs = [
        write("a.ndjson", b"\n".join(json.dumps(e).encode() for e in as_text)),
        write("b.jsonl", b"\r\n".join(json.dumps(e).encode() for e in as_json) + b"\nPONG\n"),
        write("c.json", json.dumps(as_text, indent=1).encode()),
        write("d.json", json.dumps(as_text).encode()),
        write("e.ndjson.zst", zstandard.compress(recording.read_bytes())),
        write("g.ndjson", "\n".join(json.dumps({"event_type": "x"} | e) for e in as_text).encode()),
        write("h.ndjson", "\n".join(json.dumps({"event_type": 1} | e) for e in as_json).encode()),
        write("f.json", json.dumps([{"json": json.loads(f)} for f in frames], indent=1).encode()),
    ]
    for path in inputs:
        report = run_cli(path)
        assert report["tokens"] == expected, path
        assert report["malformed"] == 0, path


def test_what_no_decoder_can_read_is_counted_wherever_it_stands(tmp_path: Path):
    good = usual_book().opening(T0).strip()
    bad = [
        b'{"raw":"\xff"}',
        b'{"raw":' + b"[" * 100_000,
        b'{"raw":' + b"[" * 100_000 + b"]" * 100_000 + b"}",
        b'{"raw":"{}","recv_ns":' + b"9" * 30 + b"}",
        b'{"raw":"{}","recv_ms":' + b"9" * 18 + b"}",
    ]
    path = tmp_path / "frames.ndjson"
    path.write_bytes(b"\n".join([*bad, good]))
    report = run_cli(path)
    assert (report["frames"], report["malformed"], report["hash_checked"]) == (6, 5, 2)


def test_a_member_called_raw_makes_no_envelope_of_a_frame(tmp_path: Path):
    message = usual_book().book(0, T0, opening=True)
    for n, odd in enumerate(("text", "", 5, None)):
        path = tmp_path / f"{n}.ndjson"
        path.write_text(json.dumps(message | {"raw": odd}))
        report = run_cli(path)
        assert (report["malformed"], report["unknown"], report["hash_checked"]) == (0, 0, 1)


def test_a_byte_order_mark_and_leading_blank_lines_are_no_frames(tmp_path: Path):
    (tmp_path / "marked.ndjson").write_bytes(b"\xef\xbb\xbf" + usual_book().opening(T0))
    pretty = json.dumps(json.loads(usual_book().opening(T0)), indent=2)
    (tmp_path / "late.json").write_text("\n \n" + pretty)
    for name, frames in (("marked.ndjson", 1), ("late.json", 2)):
        report = run_cli(tmp_path / name)
        assert (report["frames"], report["malformed"], report["hash_checked"]) == (frames, 0, 2)


def test_rest_answers_are_books_too(tmp_path: Path):
    book = usual_book()
    answers = [book.rest(T0)]
    book.set(0, 5_200, 0)
    answers.append(book.rest(T0 + 5_000))
    (tmp_path / "bare.ndjson").write_bytes(b"\n".join(answers))
    held = [json.dumps({"recv_ms": n, "raw": json.loads(a)}) for n, a in enumerate(answers)]
    (tmp_path / "held.ndjson").write_text("\n".join(held))
    for name in ("bare.ndjson", "held.ndjson"):
        report = run_cli(tmp_path / name)
        assert (report["frames"], report["malformed"], report["unknown"]) == (2, 0, 0)
        assert (report["hash_checked"], report["hash_failed"]) == (4, 0)
        assert report["tokens"][YES]["bids"][0] == ["0.51", "420.5"]
        assert report["tokens"][YES]["trusted"]


def test_several_files_are_one_stream(tmp_path: Path):
    frames = session(usual_book())
    parts = []
    for n, frame in enumerate(frames):
        parts.append(tmp_path / f"{n}.ndjson")
        parts[-1].write_bytes(frame)
    assert run_cli(*parts)["hash_checked"] == 8


def test_a_lost_change_is_found_and_not_hidden():
    book = usual_book()
    frames = session(book)
    del frames[1]  # the only change of 0.52
    report = report_of(frames[0], frames[1], frames[-1])
    assert (report["hash_checked"], report["hash_failed"]) == (4, 2)
    assert not report["tokens"][YES]["trusted"]
    assert report["tokens"][YES]["untrusted_because"] == "hash"


def test_malformed_and_unknown_are_counted_by_reason():
    book = usual_book()
    report = report_of(
        book.opening(T0),
        b"{torn",
        b'{"event_type":"jubilee"}',
        b'{"event_type":"book"}',
        book.change((0, 5_200), epoch_ms=T0 + 1).replace(b'"0.52"', b'"0.52001"'),
        b"[1]",
    )
    assert (report["frames"], report["unknown"], report["malformed"]) == (6, 1, 4)
    reasons = {"json": 1, "type": 2, "value": 1, "too_large": 0}
    assert report["malformed_by_reason"] == reasons


def without(frame: bytes, *members: str) -> bytes:
    document = json.loads(frame)
    for message in document:
        for member in members:
            message.pop(member, None)
    return json.dumps(document).encode()


def test_missing_members_are_learned_where_the_usual_ones_fit():
    opening = without(usual_book(neg_risk=True, tick="0.001").opening(T0), "tick_size")
    report = report_of(opening)
    assert (report["hash_checked"], report["hash_failed"]) == (2, 0)


def test_what_could_not_be_checked_is_said_and_not_counted_as_failed():
    opening = without(usual_book().opening(T0), "last_trade_price")
    report = report_of(opening)
    assert (report["hash_checked"], report["hash_failed"], report["hash_unchecked"]) == (0, 0, 2)
    assert "last_trade_price" in report["tokens"][YES]["could_not_check"]
    assert "min_order_size" in report["tokens"][YES]["could_not_check"]
    alone = report_of(usual_book().change((0, 5_200), epoch_ms=T0))
    assert "whole book" in alone["tokens"][YES]["could_not_check"]
    bare = report_of(without(usual_book().opening(T0), "hash"))
    assert bare["tokens"][NO]["could_not_check"] == "no hash in the recording"


def test_a_last_price_learned_later_judges_no_hash_from_before_it():
    book = usual_book()
    frames = [without(book.opening(T0), "last_trade_price")]
    for n in range(1, 4):
        book.set(0, 5_200, n * SHARE)
        frames.append(book.change((0, 5_200), epoch_ms=T0 + n))
    book.last = "0.54"
    book.set(1, 5_400, 100 * SHARE)
    frames.append(book.change((1, 5_400), epoch_ms=T0 + 20))
    frames.append(book.trade(5_400, 110 * SHARE, T0 + 57))
    book.set(0, 5_200, 9 * SHARE)
    frames.append(book.change((0, 5_200), epoch_ms=T0 + 900))
    report = report_of(*frames)
    assert (report["hash_checked"], report["hash_failed"], report["hash_unchecked"]) == (4, 0, 8)
    assert report["tokens"][YES]["trusted"]
    assert report["tokens"][YES]["could_not_check"] is not None


def test_metadata_completes_the_recipe(tmp_path: Path):
    book = usual_book(min_size="7", neg_risk=True, tick="0.0001")
    opening = without(book.opening(T0), "last_trade_price", "tick_size")
    (tmp_path / "frames.ndjson").write_bytes(opening)
    known = {
        "min_order_size": "7",
        "neg_risk": True,
        "tick_size": "0.0001",
        "last_trade_price": "0.52",
    }
    (tmp_path / "meta.json").write_text(json.dumps({MARKET: known, "0xother": {}}))
    with_meta = run_cli(tmp_path / "frames.ndjson", "--meta", tmp_path / "meta.json")
    assert (with_meta["hash_checked"], with_meta["hash_failed"]) == (2, 0)
    assert set(with_meta["tokens"]) == {YES, NO}
    assert run_cli(tmp_path / "frames.ndjson")["hash_unchecked"] == 2


def test_metadata_may_leave_out_members_and_name_a_whole_venue(tmp_path: Path):
    (tmp_path / "frames.ndjson").write_bytes(usual_book().opening(T0))
    known: dict[str, dict] = {f"0x{n}": {} for n in range(MARKETS_MAX)}
    known[MARKET] = {"min_order_size": "5", "tick_size": None, "last_trade_price": None}
    (tmp_path / "meta.json").write_text(json.dumps(known))
    report = run_cli(tmp_path / "frames.ndjson", "--meta", tmp_path / "meta.json")
    assert (report["hash_checked"], report["hash_failed"], len(report["tokens"])) == (2, 0, 2)


def test_a_tap_replays_as_it_happened(tmp_path: Path):
    book = usual_book()
    tap = TapWriter(tmp_path, 1 << 20, 4)
    entry = {
        "index": 7,
        "condition_id": MARKET,
        "token_yes": YES,
        "token_no": NO,
        "tick_ticks": 100,
        "min_size_text": "5",
        "neg_risk": False,
    }
    subscribe = json.dumps({"assets_ids": [YES, NO], "type": "market"}).encode()
    tap.append(TapKind.MARKET, 1, 0, json.dumps(entry).encode())
    tap.append(TapKind.CONNECT, 2, 1, b"")
    tap.append(TapKind.FRAME_OUT, 3, 1, subscribe)
    tap.append(TapKind.FRAME_OUT, 3, 1, b"PING")
    tap.append(TapKind.FRAME_IN, 4, 1, book.opening(T0))
    tap.append(TapKind.CLOSE, 5, 1, b"")
    tap.append(TapKind.REST, 6, 0, book.rest(T0 + 1))
    book.set(0, 5_200, 0)
    tap.append(TapKind.FRAME_IN, 7, 2, book.change((0, 5_000), epoch_ms=T0 + 2))
    tap.append(TapKind.TICK, 10**9, 0, b"")
    tap.close()
    report = run_cli(tmp_path / "tap-000000.ovt")
    assert (report["frames"], report["snapshots"], report["malformed"]) == (2, 3, 0)
    token = report["tokens"][YES]
    assert (token["trusted"], token["untrusted_because"]) == (False, "disagree")


def test_a_stream_that_ended_is_untrusted_but_was_checked(tmp_path: Path):
    tap = TapWriter(tmp_path, 1 << 20, 4)
    subscribe = json.dumps({"assets_ids": [YES, NO], "type": "market"}).encode()
    tap.append(TapKind.FRAME_OUT, 1, 1, subscribe)
    tap.append(TapKind.FRAME_IN, 2, 1, usual_book().opening(T0))
    tap.append(TapKind.CLOSE, 3, 1, b"")
    tap.close()
    token = run_cli(tmp_path / "tap-000000.ovt")["tokens"][YES]
    assert (token["trusted"], token["untrusted_because"]) == (False, "reconnect")
    assert (token["hash_checked"], token["could_not_check"]) == (1, None)


def test_the_table_names_every_token(recording: Path):
    result = CliRunner().invoke(app, ["replay", str(recording)])
    assert result.exit_code == 0
    assert result.stdout.count("trusted") == 2
    assert "0.52/0.54" in result.stdout


@pytest.mark.parametrize(
    ("name", "content", "complaint"),
    [
        ("absent.ndjson", None, "cannot read"),
        ("bad.ndjson.zst", zstandard.compress(b"x")[:5] + b"\xff" * 40, "zstandard"),
        ("odd.json", b"[\n{]\n", "neither a frame a line"),
        ("odd.ovt", b"nothing of the kind" * 10, "no tap file"),
        ("absent.ovt", None, "cannot read"),
    ],
)
def test_unusable_files_are_named(tmp_path: Path, name: str, content: bytes, complaint: str):
    path = tmp_path / name
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(OverroundError, match=complaint):
        Replay().run(path)


@pytest.mark.parametrize("content", [b"[]", b'{"0x1":{"tick_size":"a"}}', b"{", None])
def test_unusable_metadata_is_named(tmp_path: Path, content: bytes | None):
    path = tmp_path / "meta.json"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ConfigError, match=r"meta\.json"):
        load_meta(path)


def test_envelopes_keep_their_receive_time(tmp_path: Path):
    path = tmp_path / "frames.ndjson"
    path.write_text('{"raw":"[]","recv_ms":5}\n{"raw":"[]","recv_ns":7}\n{"raw":[]}\n{"raw":\n')
    frames = list(read_frames(path))
    assert [frame.recv_ns for frame in frames] == [5_000_000, 7, 0, 0]
    assert frames[-1].payload == b'{"raw":'


@pytest.mark.recorded
def test_the_recorded_session_verifies_entry_by_entry(recorded: Path):
    report = run_cli(recorded / "polymarket_ws/raw_3markets_20260927.ndjson")
    assert (report["frames"], report["changes"], report["malformed"]) == (60, 58, 0)
    assert (report["hash_checked"], report["hash_failed"], report["hash_unchecked"]) == (84, 16, 0)
    untrusted = {t["market"][:6] for t in report["tokens"].values() if not t["trusted"]}
    assert untrusted == {"0x690f"}
    assert sum(t["hash_failed"] for t in report["tokens"].values()) == 16
