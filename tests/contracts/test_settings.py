"""Settings: whatever is wrong is named by file and key."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from contracts.errors import InvalidInput
from contracts.settings import NatsSettings, load_settings


class Limits(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    retries: int = 3
    names: list[str] = []


class Settings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    nats: NatsSettings
    limits: Limits = Limits()
    verbose: bool = False


def load(path: Path, text: str, **environ: str) -> Settings:
    path.write_text(text)
    return load_settings(Settings, path, env_prefix="STRONGROOM", environ=environ)


GOOD = '[nats]\nnkey_file = "seed"\n'


def test_defaults_fill_what_is_not_said(tmp_path: Path) -> None:
    settings = load(tmp_path / "s.toml", GOOD)
    assert settings.nats.url == "nats://127.0.0.1:4222"
    assert settings.limits.retries == 3


def test_the_environment_overrides_the_file(tmp_path: Path) -> None:
    settings = load(
        tmp_path / "s.toml",
        GOOD + "[limits]\nretries = 4\n",
        STRONGROOM_LIMITS_RETRIES="5",
        STRONGROOM_NATS_URL="nats://bus:1",
        STRONGROOM_VERBOSE="true",
        STRONGROOM_LIMITS_NAMES='["a", "b"]',
    )
    assert (settings.limits.retries, settings.nats.url, settings.verbose) == (5, "nats://bus:1", True)
    assert settings.limits.names == ["a", "b"]


def test_the_environment_suffices_for_a_required_key(tmp_path: Path) -> None:
    assert load(tmp_path / "s.toml", "", STRONGROOM_NATS_NKEY_FILE="x").nats.nkey_file == "x"


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ("[nats]\n", "nats"),
        (GOOD + "[limits]\nretries = 'many'\n", "limits.retries"),
        (GOOD + "[limits]\nretrys = 3\n", "limits"),
        (GOOD + "colour = 'red'\n", "nats"),
        ("verbose = 7\n" + GOOD, "verbose"),
    ],
)
def test_a_wrong_key_is_named_with_its_file(tmp_path: Path, text: str, key: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        load(tmp_path / "s.toml", text)
    assert caught.value.code == "config.invalid"
    assert caught.value.field == key
    assert str(tmp_path / "s.toml") in caught.value.message


def test_a_file_that_is_absent_or_no_toml_is_named(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match=r"absent\.toml: cannot be read: No such file"):
        load_settings(Settings, tmp_path / "absent.toml", env_prefix="X", environ={})
    with pytest.raises(InvalidInput, match="is not valid TOML"):
        load(tmp_path / "s.toml", "nats = [")
    (tmp_path / "binary.toml").write_bytes(b"\xff\xfe")
    with pytest.raises(InvalidInput, match="is not valid TOML"):
        load_settings(Settings, tmp_path / "binary.toml", env_prefix="X", environ={})
