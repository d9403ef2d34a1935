"""What can go wrong, named after what the caller can do next.

::

    OverroundError
    ├── ConfigError      mend the file, flag or key that the message names      exit 2
    ├── LayoutError      regions of another version: stop all, start again      exit 1
    ├── HostError        the machine refuses: the message names the command     exit 1
    ├── VenueError       the venue refused or did not answer (``retryable``)    exit 1
    ├── OrderError       an order cannot be built or sent as asked              exit 1
    └── SafetyError      refused on purpose: arm, raise the cap, or stop        exit 3

    InvariantError       our bug: never caught, ends the process

Lapped readers, stale slots, rejected orders and unknown messages are not errors but counted
outcomes (see ``observe.metrics``).
"""

from __future__ import annotations

__all__ = [
    "ConfigError",
    "HostError",
    "InvariantError",
    "LayoutError",
    "OrderError",
    "OverroundError",
    "SafetyError",
    "VenueError",
]


class OverroundError(Exception):
    """Base of every error a caller may handle; its text is one line fit for a user."""

    exit_status = 1


class ConfigError(OverroundError):
    """A setting, flag or key is wrong: the text says which, the value seen, what to do."""

    exit_status = 2


class LayoutError(OverroundError):
    """A shared region does not have the layout this build expects."""


class HostError(OverroundError):
    """The machine cannot give what was asked (a port, a package, a limit)."""


class VenueError(OverroundError):
    """The venue refused a request or gave no usable answer.

    ``retryable`` is true only where repeating the request cannot do harm.
    """

    def __init__(self, message: str, *, retryable: bool = False) -> None:
        super().__init__(message)
        self.retryable = retryable


class OrderError(OverroundError):
    """An order cannot be built: off the tick, below the minimum, or out of range."""


class SafetyError(OverroundError):
    """Refused by a safety rule: the text names the rule and how to lift it."""

    exit_status = 3


class InvariantError(RuntimeError):
    """Something that cannot happen did: a bug of ours. Never caught; the process ends."""
