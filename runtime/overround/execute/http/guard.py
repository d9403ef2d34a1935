"""Which requests are held back now, and until when: the memory of the venue's troubles."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from overround.clock import NS_PER_MS, NS_PER_S
from overround.decide.risk import RefusalCode
from overround.execute.http.answer import Kind, NotSent, Response
from overround.execute.http.trouble import ROWS, Hold, Trouble, trouble_of
from overround.execute.news import News
from overround.observe.metrics import Value
from overround.venues.polymarket.answers import read_error
from overround.venues.polymarket.reasons import classify

__all__ = ["Guard"]


@dataclass(slots=True)
class _Pause:
    until_ns: int = 0
    pause_s: int = 0
    seen: int = 0


class Guard:
    """Judges every answer, and every request before it is sent. Cancels always pass."""

    def __init__(self, news: News, clock: Callable[[], int]) -> None:
        self._news = news
        self._clock = clock
        self._pauses: dict[tuple[Trouble, Kind], _Pause] = {}
        self._stops: dict[Trouble, str] = {}

    def check(self, kind: Kind, *, post_only: bool = False) -> None:
        """Raise NotSent, with reason and end, if requests of this kind are held back."""
        if kind is Kind.CANCEL or not (self._pauses or self._stops):
            return
        if kind is Kind.ORDER:
            for trouble, text in self._stops.items():
                code = RefusalCode.CLOCK if trouble is Trouble.CLOCK else RefusalCode.LOGIN
                raise NotSent(f"{trouble.title}: {text}", code)
        now_ns = self._clock()
        for (trouble, held), pause in self._pauses.items():
            takers = ROWS[trouble].hold is Hold.TAKERS
            if held is kind and pause.until_ns > now_ns and not (takers and post_only):
                left_ms = (pause.until_ns - now_ns) // NS_PER_MS
                raise NotSent(f"{trouble.title}: paused for {left_ms} ms more", RefusalCode.PAUSED)

    def judge(self, kind: Kind, what: str, answer: Response, *, login: bool) -> Trouble | None:
        """Take note of an answer; return the trouble it shows, if any.

        ``login`` tells whether the request proved an API key.
        """
        if answer.status < 400:
            self._well(kind)
            return None
        text, retry_after_s = read_error(answer.body, answer.retry_after)
        trouble = trouble_of(answer.status, classify(answer.status, text))
        if trouble is None or (trouble is Trouble.LOGIN and not login):
            return None
        self._news.count(Value.VENUE_TROUBLES)
        row = ROWS[trouble]
        held = kind if row.hold is Hold.SAME else Kind.ORDER
        mine = row.hold is Hold.SAME or kind is Kind.ORDER or trouble is not Trouble.SERVER
        pause_s = 0
        if row.first_s and trouble is not Trouble.LOGIN and mine:
            pause_s = self._pause(trouble, held, retry_after_s)
        self._news.notice(
            row.title, code=trouble.value, request=what, status=answer.status, text=text[:200],
            held=row.hold.value, pause_s=pause_s,
        )  # fmt: skip
        return trouble

    def _pause(self, trouble: Trouble, kind: Kind, retry_after_s: int) -> int:
        if kind is Kind.CANCEL:
            return 0
        row, now_ns = ROWS[trouble], self._clock()
        pause = self._pauses.setdefault((trouble, kind), _Pause())
        pause.seen += 1
        if pause.seen <= row.free:
            return 0
        if now_ns < pause.until_ns and retry_after_s == 0:
            return pause.pause_s  # an answer to a request that was under way when it began
        again = pause.pause_s * 2 if pause.pause_s else row.first_s
        pause.pause_s = min(row.most_s, retry_after_s or again)
        pause.until_ns = max(pause.until_ns, now_ns + pause.pause_s * NS_PER_S)
        self._news.count(Value.VENUE_PAUSES)
        return pause.pause_s

    def _well(self, kind: Kind) -> None:
        """A good answer of this kind ends what was remembered against it."""
        if self._pauses:
            for key in [one for one in self._pauses if one[1] is kind]:
                if self._pauses[key].until_ns <= self._clock():
                    del self._pauses[key]

    def stop_orders(self, trouble: Trouble, text: str) -> None:
        """Hold all orders until ``resume``; a line is written when it begins."""
        if trouble not in self._stops:
            self._news.count(Value.VENUE_PAUSES)
            self._news.notice("orders stopped", code=trouble.value, title=trouble.title, text=text)
        self._stops[trouble] = text

    def resume(self, trouble: Trouble) -> None:
        """End such a hold."""
        if self._stops.pop(trouble, None) is not None:
            self._news.notice("orders go on", code=trouble.value)

    def stopped(self, trouble: Trouble) -> bool:
        """Return whether orders are held for this trouble."""
        return trouble in self._stops
