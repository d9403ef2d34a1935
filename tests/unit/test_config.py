"""Settings: what is wrong is said in one line that names the key."""

from __future__ import annotations

from pathlib import Path

import pytest

from overround.config.load import load_private_key, load_settings, settings_from
from overround.config.schema import Account, Mode, Settings
from overround.errors import ConfigError

KEY = "11" * 32


def test_defaults_are_valid_and_never_send_orders():
    assert Settings().mode is Mode.SHADOW


def test_file_overrides_defaults(tmp_path: Path):
    path = tmp_path / "bot.toml"
    path.write_text('instance = "alpha"\nmode = "sim"\n[detect]\ncooldown_ms = 40\n')
    settings = load_settings(path)
    assert (settings.instance, settings.mode, settings.detect.cooldown_ms) == (
        "alpha",
        Mode.SIM,
        40,
    )


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("[detect]\ncooldwn_ms = 4\n", "unknown key 'detect.cooldwn_ms'"),
        ("[detect]\ncooldown_ms = -4\n", "'detect.cooldown_ms' = -4"),
        ('mode = "yolo"\n', "'mode' = 'yolo'"),
        ("[capacity]\nchanges_records = 1000\n", "1000 is not a power of two"),
        ("instance = \n", "not valid TOML"),
        ("a = 1\nb = 2\n", "(and 1 more)"),
        (
            "[ingress]\nnative_cpus = [0]\n[cpu]\nnative_cpus = [1]\n",
            "bot.toml: ingress.native_cpus is now cpu.native_cpus: remove the old one",
        ),
    ],
)
def test_bad_file_gives_one_line_naming_the_key(tmp_path: Path, text: str, expected: str):
    path = tmp_path / "bot.toml"
    path.write_text(text)
    with pytest.raises(ConfigError) as caught:
        load_settings(path)
    message = str(caught.value)
    assert expected in message
    assert str(path) in message
    assert "\n" not in message


def test_missing_and_binary_files_are_named(tmp_path: Path):
    with pytest.raises(ConfigError, match="No such file"):
        load_settings(tmp_path / "none.toml")
    (tmp_path / "binary.toml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ConfigError, match="not UTF-8"):
        load_settings(tmp_path / "binary.toml")


def test_settings_survive_json():
    settings = settings_from({"instance": "x"}, where="test")
    assert Settings.model_validate_json(settings.model_dump_json()) == settings


def test_private_key_comes_from_environment_or_guarded_file(tmp_path: Path):
    assert load_private_key(Account(), {"OVERROUND_PRIVATE_KEY": "0x" + KEY}) == KEY
    path = tmp_path / "key"
    path.write_text(KEY + "\n")
    path.chmod(0o600)
    assert load_private_key(Account(private_key_file=path)) == KEY


def test_private_key_never_shows_in_an_error(tmp_path: Path):
    path = tmp_path / "key"
    path.write_text(KEY)
    path.chmod(0o644)
    cases = [
        (Account(private_key_file=path), {}, "chmod 600"),
        (Account(private_key_file=tmp_path / "none"), {}, "cannot read"),
        (Account(), {}, "has no key"),
        (Account(), {"OVERROUND_PRIVATE_KEY": KEY[:-1]}, "does not hold a private key"),
        (Account(), {"OVERROUND_PRIVATE_KEY": "zz" + KEY[2:]}, "does not hold a private key"),
    ]
    for account, environment, expected in cases:
        with pytest.raises(ConfigError, match=expected) as caught:
            load_private_key(account, environment)
        assert "1111" not in str(caught.value)


def test_the_example_in_the_how_to_is_a_valid_configuration(repository: Path, tmp_path: Path):
    text = (repository / "docs" / "howto" / "run-an-instance.md").read_text(encoding="utf-8")
    path = tmp_path / "first.toml"
    path.write_text(text.partition("```toml\n")[2].partition("```")[0])
    settings = load_settings(path)
    assert settings.mode is Mode.SHADOW
    assert settings.risk.loss_max_micro == 50_000_000
