"""The same table as a profile of ``tuned``, for machines that it manages."""

from __future__ import annotations

from collections.abc import Collection

from overround.host.tune.knob import Knob

__all__ = ["tuned_profile"]

_SYSCTL = "/proc/sys/"
_BOOT = "GRUB_CMDLINE_LINUX="


def tuned_profile(
    knobs: Collection[Knob], profile: str, hot: Collection[int], rest: Collection[int]
) -> str:
    """Return the text of a ``tuned.conf``; knobs that tuned cannot turn are named in comments."""
    sysctl, sysfs, other, boot = [], [], [], []
    for knob in knobs:
        value = knob.wanted(profile, hot, rest)
        if value is None:
            continue
        if knob.kind == "hold":
            other += ["", "[cpu]", f"force_latency={value}"]
        elif knob.kind == "file" and knob.paths[0].startswith(_SYSCTL):
            sysctl += [f"{path.removeprefix(_SYSCTL).replace('/', '.')}={value}"
                       for path in knob.paths]  # fmt: skip
        elif knob.kind == "file":
            sysfs += [f"{path}={value}" for path in knob.paths]
        elif _BOOT in value:
            line = value.partition(_BOOT)[2].strip().strip('"')
            boot = ["", "[bootloader]", f"cmdline_overround=+{line.partition(' ')[2]}"]
        else:
            other += ["", f"# {knob.name}: {knob.paths[0]} is left to overround tune"]
    head = ["[main]", f"summary=overround: {profile}", "", "[sysctl]", *sysctl, "", "[sysfs]"]
    return "\n".join([*head, *sysfs, *other, *boot]) + "\n"
