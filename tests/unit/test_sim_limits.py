"""Rate limits: windows and buckets against hand-counted cases and an obvious model."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from overround.clock import NS_PER_S
from overround.sim.limits import RULES, TIERS, Limits

START_NS = 10**15
Judge = Callable[..., tuple[bool, int, dict[str, str]]]


def judge_of(limits: Limits) -> Judge:
    def judge(
        cost: int = 0,
        at_s: float = 0,
        method: str = "POST",
        path: str = "/order",
        signer: str = "0xA",
    ) -> tuple[bool, int, dict[str, str]]:
        now_ns = START_NS + round(at_s * NS_PER_S)
        return limits.judge(method, path, "127.0.0.1", signer, cost, now_ns)

    return judge


def test_off_lets_everything_pass_without_a_word() -> None:
    judge = judge_of(Limits())
    assert {judge(1_000) == (True, 0, {}) for _ in range(100)} == {True}


def test_a_bucket_empties_and_refills_at_its_rate() -> None:
    limits = Limits("enforce")
    judge = judge_of(limits)
    for left in range(59, -1, -1):
        passes, _, headers = judge(1)
        assert (passes, headers["Poly-RateLimit-Remaining"]) == (True, str(left))
    passes, retry_s, headers = judge(1)
    assert (passes, retry_s) == (False, 1)
    assert headers == {"Poly-RateLimit-Remaining": "0", "Poly-RateLimit-Tier": "standard"}
    assert [judge(1, 0.05)[0] for _ in range(3)] == [True, True, False]  # 40 a second
    assert judge(1, 100)[2]["Poly-RateLimit-Remaining"] == "59"  # never above the burst
    assert limits.refused == 2


def test_cancels_have_a_bucket_of_twice_the_size() -> None:
    judge = judge_of(Limits("enforce"))
    assert judge(60)[0]
    assert judge(120, method="DELETE", path="/orders")[0]
    assert not judge(1)[0]
    assert not judge(1, method="DELETE", path="/order")[0]
    assert judge(1, 0.0126, method="DELETE", path="/order")[0]  # 80 a second


def test_signers_do_not_share_and_tiers_differ() -> None:
    limits = Limits("enforce")
    limits.set_mode("enforce", "elite", "0xB")
    judge = judge_of(limits)
    assert judge(60)[0]
    assert not judge(1)[0]
    assert judge(900, signer="0xb")[2]["Poly-RateLimit-Tier"] == "elite"
    assert not judge(1, signer="0xB")[0]
    assert judge(1, signer="")[2] == {}


def test_a_batch_above_the_burst_waits_for_a_full_bucket() -> None:
    judge = judge_of(Limits("enforce"))
    assert judge(61, 0)[0]  # a full bucket lets it through, into debt
    assert not judge(1, 0.02)[0]
    assert judge(1, 0.06)[0]


def test_warning_mode_serves_and_says_so() -> None:
    limits = Limits("warn")
    judge = judge_of(limits)
    assert judge(60)[2].get("Poly-RateLimit-Warning") is None
    passes, retry_s, headers = judge(30)
    assert (passes, retry_s) == (True, 1)
    assert headers["Poly-RateLimit-Warning"] == "true"
    assert headers["Poly-RateLimit-Remaining"] == "0"
    assert limits.refused == 1


def test_a_window_slides_over_ten_seconds() -> None:
    judge = judge_of(Limits("enforce"))

    def look(at_s: float) -> bool:
        return judge(0, at_s, "GET", "/tick-size/7", "")[0]

    assert all(look(number / 100) for number in range(200))
    assert not look(9.99)
    assert judge(0, 9.99, "GET", "/tick-size", "")[:2] == (False, 1)
    assert judge(0, 9.99, "GET", "/neg-risk", "")[0]
    assert look(10.0)
    assert not look(10.0)


def test_a_refused_request_costs_nothing() -> None:
    judge = judge_of(Limits("enforce"))
    assert judge(60)[0]
    for _ in range(10_000):
        assert not judge(40)[0]
    assert judge(40, 1.0)[0]


@pytest.mark.parametrize(("mode", "tier"), [("on", ""), ("warn", "wood")])
def test_unknown_modes_and_tiers_are_refused(mode: str, tier: str) -> None:
    with pytest.raises(ValueError, match=r"(is|are) one of"):
        Limits().set_mode(mode, tier)


def test_every_rule_fits_what_it_names() -> None:
    for rule in RULES:
        for path in rule.paths:
            assert rule.fits(rule.method or "GET", path)
        assert rule.name == "everything" or not rule.fits(rule.method or "GET", "/elsewhere")


@given(
    st.sampled_from(sorted(TIERS)),
    st.lists(st.tuples(st.floats(0, 3), st.integers(1, 30)), max_size=60),
)
def test_buckets_agree_with_a_model_in_whole_numbers(
    tier: str, steps: list[tuple[float, int]]
) -> None:
    """Never more than burst + rate x time in any prefix, and never refused without need."""
    limits = Limits("enforce", tier)
    rate, burst = TIERS[tier]
    now_ns, level = 0, burst * NS_PER_S  # tokens in billionths: no rounding
    for gap_s, cost in steps:
        gap_ns = round(gap_s * NS_PER_S)
        now_ns += gap_ns
        level = min(burst * NS_PER_S, level + rate * gap_ns)
        passes = limits.judge("POST", "/orders", "ip", "0xA", cost, START_NS + now_ns).passes
        if abs(level - cost * NS_PER_S) > 1_000:
            assert passes == (level >= cost * NS_PER_S)
        if passes:
            level -= cost * NS_PER_S
