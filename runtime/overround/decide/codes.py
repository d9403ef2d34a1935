"""The numbers of refusals: on disk, in reports and in counters, so none is ever reused."""

from __future__ import annotations

from enum import IntEnum

__all__ = ["RefusalCode"]


class RefusalCode(IntEnum):
    """Why an intent was not sent; ``reason`` of a REFUSED report. Numbers are never reused."""

    MALFORMED = 1
    MODE = 2
    KILLED = 3
    EXPIRED = 4
    DUPLICATE = 5
    MARKET_UNKNOWN = 6
    MARKET_CLOSED = 7
    FEE_UNKNOWN = 8
    BOOK_STALE = 9
    BOOK_UNTRUSTED = 10
    BOOK_REPLACED = 11
    TICK = 12
    MIN_SIZE = 13
    COLLAR = 14
    ORDER_NOTIONAL = 15
    POSITION = 16
    ACCOUNT_NOTIONAL = 17
    BALANCE = 18
    LOSS = 19
    RATE = 20
    PLAN = 21
    RESTART = 22
    NOT_READY = 23
    SHADOW = 24
    UNBUILDABLE = 25
    TAKING_MIN = 26
    NOT_MARKETABLE = 27
    THIN = 28
    OPEN_ORDERS = 29
    MARKET_ORDERS = 30
    SELF_CROSS = 31
    ORDER_SIZE = 32
    MARKET_NOTIONAL = 33
    MARKET_LOSS = 34
    EVENT_POSITION = 35
    EVENT_NOTIONAL = 36
    EVENT_LOSS = 37
    STRATEGY_POSITION = 38
    STRATEGY_NOTIONAL = 39
    STRATEGY_LOSS = 40
    ACCOUNT_POSITION = 41
    ACCOUNT_LOSS = 42
    DAILY_LOSS = 43
    DRAWDOWN = 44
    CANCEL_RATE = 45
    PLAN_WORST = 50
    # before a send that the gate let through
    NO_CONNECTION = 65
    BUDGET = 66
    PAUSED = 67
    CLOCK = 68
    LOGIN = 69
