"""The recorded figures beside which ours are put: what each is, and the range that counts as equal.

A range spans the recordings (Polymarket where there are any, Kalshi for arrivals) and, where they
are few, some room. ``short`` widens it for a run of a minute or two, where 0 leaves the row out.
"""

from __future__ import annotations

from dataclasses import dataclass

from oracle.calibration import Tape, figures, observe


@dataclass(frozen=True)
class Row:
    """One figure: its name, what it says, the recorded value in words, the range for ours."""

    name: str
    says: str
    recorded: str
    low: float
    high: float
    short: float = 1.0


SECTIONS: dict[str, list[Row]] = {
    "Arrivals": [
        Row("frames_per_s", "price changes a second", "26 to 222", 60, 350, 2),
        Row("per_second_p50", "in a median second", "0.3 to 0.75 of the mean", 30, 260, 2),
        Row("per_second_p99", "in a second, p99", "3 to 7 times the mean", 300, 1_600, 2),
        Row("fano_100ms", "Fano factor of 100 ms", "17 to 35", 17, 35, 2),
        Row("fano_1s", "Fano factor of 1 s", "56 to 186", 56, 190, 2.5),
        Row("autocorrelation_1s", "autocorrelation at lag 1 s", "0.45 to 0.62", 0.42, 0.66, 2),
        Row("autocorrelation_2s", "lag 2 s", "0.37 to 0.46", 0.32, 0.56, 0),
        Row("autocorrelation_5s", "lag 5 s", "0.31 to 0.44", 0.25, 0.5, 0),
        Row("autocorrelation_10s", "lag 10 s", "0.31 to 0.38", 0.22, 0.45, 0),
        Row("autocorrelation_30s", "lag 30 s", "0.25 to 0.36", 0.18, 0.42, 0),
        Row("burst_p90", "changes under one stamp, p90", "3", 2, 4),
        Row("burst_p99", "p99", "4 to 9", 4, 9),
        Row("burst_max", "most", "10 to 62", 8, 62, 1.5),
    ],
    "Changes": [
        Row("adds", "share that add", "0.48 to 0.50", 0.46, 0.53),
        Row("new_levels", "share that open a level", "0.05 to 0.22", 0.05, 0.22),
        Row("removed_levels", "share that remove a level", "0.05 to 0.22", 0.05, 0.22),
        Row("at_touch", "share at or inside the best price", "0.16 to 0.26", 0.15, 0.27),
        Row("distance_p50", "ticks behind the best, p50", "2 to 4", 1, 4),
        Row("distance_p75", "p75", "4 to 8", 4, 8),
        Row("distance_p90", "p90", "9 to 26", 8, 26),
        Row("distance_p99", "p99", "58 to 73", 45, 75),
        Row("changed_p50", "levels of 20 a side that change in a second", "0.59", 0.45, 0.75, 1.3),
    ],
    "Books": [
        Row("size_log_mean", "mean of the log of level sizes", "5.47", 5.1, 5.8),
        Row("size_log_deviation", "deviation of it", "1.54", 1.3, 1.8),
        Row("size_p5", "shares at a level, p5", "17", 8, 30),
        Row("size_p25", "p25", "92", 60, 140),
        Row("size_p50", "p50", "215", 150, 320),
        Row("size_p75", "p75", "689", 450, 950),
        Row("size_p90", "p90", "1,802", 1_000, 2_600),
        Row("size_p99", "p99", "7,590", 3_500, 12_000, 1.5),
        Row("size_whole", "share of whole numbers", "0.56", 0.45, 0.65),
        Row("profile_1", "median shares at the best price", "145", 90, 220),
        Row("profile_2", "at level 2", "280", 190, 420),
        Row("profile_3", "3", "567", 380, 800),
        Row("profile_4", "4", "874", 580, 1_200, 1.2),
        Row("profile_5", "5", "1,080", 700, 1_450, 1.2),
        Row("profile_6", "6", "1,108", 700, 1_500, 1.2),
        Row("profile_8", "8", "571", 380, 850, 1.2),
        Row("profile_10", "10", "281", 180, 460, 1.2),
        Row("profile_12", "12", "153", 90, 280, 1.2),
        Row("profile_20", "20", "50", 25, 110, 1.2),
        Row("levels_p50", "levels a side, whole book", "22 to 105", 20, 80),
    ],
    "Spread and mid": [
        Row("spread_1", "share of spreads of 0.01", "0.83 to 0.91", 0.8, 0.97),
        Row("spread_2", "0.02", "0.01 to 0.09", 0.01, 0.1, 1.5),
        Row("spread_3", "0.03", "up to 0.02", 0.0, 0.04, 1.5),
        Row("mid_still", "share of seconds without a move", "0.57 to 0.71", 0.55, 0.72, 1.2),
        Row("mid_deviation", "deviation of the move of a second",
            "0.012 to 0.015; 0.009 in this market", 0.008, 0.016, 1.3),
        Row("mid_move_p90", "size of the move, p90", "0.02", 0.01, 0.025),
        Row("mid_move_p99", "p99", "0.05 to 0.06", 0.03, 0.07, 1.3),
    ],
    "Trades": [
        Row("trades_per_s", "prints a second", "1.1 to 3.1", 0.9, 3.2, 2),
        Row("trade_p5", "shares of a print, p5", "8", 5, 10),
        Row("trade_p50", "p50", "20", 14, 26),
        Row("trade_p95", "p95", "37 to 90", 37, 100, 1.3),
        Row("print_delay_min", "ms from match to print, least", "33", 33, 36),
        Row("print_delay_p50", "median", "37", 36, 38),
        Row("print_delay_max", "most", "48", 43, 48),
    ],
}  # fmt: skip

ROWS = [row for rows in SECTIONS.values() for row in rows]


def outside(found: dict[str, float], *, short: bool) -> list[str]:
    """Return the rows of which a figure leaves its range, as text."""
    wrong = []
    for row in ROWS:
        if short and not row.short:
            continue
        room = row.short if short else 1.0
        value = found[row.name]
        if not row.low / room <= value <= row.high * room:
            wrong.append(f"{row.says}: {value:.4g} is not within {row.low} to {row.high}")
    return wrong


def averaged(seconds: int, *, rate: float, seeds: list[int]) -> dict[str, float]:
    """Return the mean of every figure over runs with these seeds."""
    runs = [figures(observe(seconds, rate=rate, seed=seed)) for seed in seeds]
    return {name: sum(run[name] for run in runs) / len(runs) for name in runs[0]}


__all__ = ["ROWS", "SECTIONS", "Row", "Tape", "averaged", "outside"]
