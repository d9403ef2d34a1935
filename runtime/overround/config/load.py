"""From a TOML file to checked settings, and from a reference to a secret."""

from __future__ import annotations

import os
import re
import stat
import tomllib
from collections.abc import Mapping
from pathlib import Path

from pydantic import ValidationError

from overround.config.schema import Account, Settings
from overround.errors import ConfigError

_PASSWORD = re.compile(r"(://[^/@:]*:|password=)[^/@\s&'\"]+")
_KEY_FILE_MODE_BITS = stat.S_IRWXG | stat.S_IRWXO


def load_settings(path: Path) -> Settings:
    """Return the settings of a TOML file.

    Raises ConfigError naming the file, the key, the value seen and what was expected.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise ConfigError(
            f"cannot read {path}: {error.strerror}; name a TOML file with --config"
        ) from error
    except UnicodeDecodeError as error:
        raise ConfigError(
            f"{path} is not UTF-8 text (byte {error.start}); save it as UTF-8"
        ) from error
    try:
        table = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{path} is not valid TOML: {error}") from error
    return settings_from(table, where=str(path))


def settings_from(table: Mapping[str, object], *, where: str) -> Settings:
    """Return checked settings; ``where`` names their origin in an error."""
    try:
        return Settings.model_validate(table)
    except ValidationError as error:
        raise ConfigError(f"{where}: {_first_problem(error)}") from None


def _first_problem(error: ValidationError) -> str:
    problems = error.errors(include_url=False, include_context=False)
    first = problems[0]
    key = ".".join(str(part) for part in first["loc"])
    if first["type"] == "extra_forbidden":
        text = f"unknown key '{key}'; remove it or mend its spelling"
    elif not key:  # of several keys together: the message names them
        text = first["msg"].removeprefix("Value error, ")
    else:
        seen = _PASSWORD.sub(r"\1***", repr(first["input"]))
        text = f"'{key}' = {seen}: {first['msg'][:1].lower()}{first['msg'][1:]}"
    more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
    return text + more


def load_private_key(account: Account, environment: Mapping[str, str] = os.environ) -> str:
    """Return the account's private key as 64 hex digits, from its file or the environment.

    Raises ConfigError if there is none, if it is no key, or if others may read the file. No
    message ever holds any part of the key.
    """
    if account.private_key_file is not None:
        path = account.private_key_file
        try:
            mode = path.stat().st_mode
            text = path.read_text(encoding="ascii", errors="replace")
        except OSError as error:
            raise ConfigError(f"cannot read private key file {path}: {error.strerror}") from None
        if mode & _KEY_FILE_MODE_BITS:
            raise ConfigError(f"others may read private key file {path}: run chmod 600 {path}")
        where = f"private key file {path}"
    else:
        text = environment.get(account.private_key_env, "")
        where = f"environment variable {account.private_key_env}"
        if not text:
            raise ConfigError(
                f"account '{account.name}' has no key: set {where} or account.private_key_file"
            )
    digits = text.strip().removeprefix("0x")
    try:
        valid = len(bytes.fromhex(digits)) == 32
    except ValueError:
        valid = False
    if not valid:
        raise ConfigError(f"{where} does not hold a private key (64 hex digits)")
    return digits
