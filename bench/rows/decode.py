"""Bytes of a frame to integers: our decoder against a scanner that knows one shape only."""

from __future__ import annotations

from statistics import median

from runner import corpus, peers
from runner.judge import Row, judge
from runner.kit import CannotMeasure, Kit

SIMDJSON_MIN = {"change": 3.5, "snapshot": 2.5}
"""The floor must beat Debian's simdjson by this much in the same run, else it is none."""
CAUSE = (
    "the decoder checks ranges and identifiers, clears each record and falls back byte by byte "
    "where a length is unusual; the floor does none of that"
)
NOTE = (
    "where the processor has AVX2 and BMI2 the decoder takes them, as the floor takes what there "
    "is; it finds a level's quotes 64 bytes at a time, the floor 16: hence the ratio below 1"
)


def measure(kit: Kit, names: list[str]) -> list[Row]:
    """Return ``decode_change`` and ``decode_snapshot``, those that are wanted."""
    frames = {"change": corpus.changes, "snapshot": corpus.snapshots}
    rows = []
    for kind, make in frames.items():
        if f"decode_{kind}" in names:
            rows.append(_one(kit, kind, make()))
    return rows


def _one(kit: Kit, kind: str, frames: list[bytes]) -> Row:
    path = corpus.write(kind, frames)
    refusals, simdjson = [], ""
    try:
        peers.debian("libsimdjson-dev", "/usr/include/simdjson.h")
        program = kit.compile(
            "decode", "decode.c", "simdjson.cpp",
            flags=("-DWITH_SIMDJSON", "-lsimdjson"),
        )  # fmt: skip
    except CannotMeasure as error:
        simdjson = str(error)
        program = kit.compile("decode-alone", "decode.c")
    series = kit.series(program, kind, str(path), str(kit.rounds))
    found = {}
    notes = {"bytes_per_frame": sum(map(len, frames)) // len(frames), "missed": CAUSE, "how": NOTE}
    notes["ratio without AVX2"] = round(
        median(a / b for a, b in zip(series["base"].p50, series["floor"].p50, strict=True)), 2
    )
    if "simdjson" in series:
        found["simdjson"] = series["simdjson"].value
        ahead = median(
            a / b for a, b in zip(series["simdjson"].p50, series["floor"].p50, strict=True)
        )
        notes["simdjson_to_floor"] = round(ahead, 2)
        if ahead < SIMDJSON_MIN[kind]:
            refusals.append(
                f"the floor beats simdjson only {ahead:.1f} times; {SIMDJSON_MIN[kind]} make it one"
            )
    else:
        refusals.append(f"the floor could not be checked against simdjson: {simdjson}")
    found |= {name: float(v) for name, v in peers.run(kit, "parsers", kind, str(path)).items()}
    return judge(
        f"decode_{kind}", series["subject"], series["floor"], peers=found, refusals=refusals,
        notes=notes,
    )  # fmt: skip
