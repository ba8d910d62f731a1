"""Where the configuration is found, what overrides it, and how it is told what is wrong with it."""

from __future__ import annotations

from pathlib import Path

import pytest

from contracts.errors import InvalidInput
from contracts.settings import NatsSettings
from daemon.cli.config import OperatorSettings, find_config, load_operator_settings, usual_places
from daemon.embedded.nkey_files import ensure_user_seed
from tests.daemon.cli.calling import Strongroom, Zygote
from tests.integration.platform import Platform


@pytest.fixture
def home(tmp_path: Path) -> dict[str, str]:
    return {"HOME": str(tmp_path)}


def write(path: Path, text: str = '[nats]\nnkey_file = "operator.nk"\n') -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    ensure_user_seed(path.parent / "operator.nk")
    return path


def test_the_option_comes_before_the_variable_and_that_before_the_usual_places(tmp_path: Path, home: dict[str, str]) -> None:
    assert find_config(None, home) is None
    written, embedded = usual_places(home)
    write(embedded)
    assert find_config(None, home) == embedded
    write(written)
    assert find_config(None, home) == written
    assert find_config(None, {**home, "STRONGROOM_CONFIG": "named.toml"}) == Path("named.toml")
    assert find_config(Path("given.toml"), {**home, "STRONGROOM_CONFIG": "named.toml"}) == Path("given.toml")


def test_the_usual_places_follow_the_base_directories(tmp_path: Path) -> None:
    environ = {"HOME": str(tmp_path), "XDG_CONFIG_HOME": "/etc/xdg-config", "XDG_DATA_HOME": "relative/is/ignored"}
    assert usual_places(environ) == (
        Path("/etc/xdg-config/strongroom/config.toml"),
        tmp_path / ".local/share/strongroom/operator.toml",
    )


def nats_of(settings: OperatorSettings) -> NatsSettings:
    assert settings.nats is not None
    return settings.nats


def test_paths_in_a_file_are_relative_to_it_and_variables_override(tmp_path: Path, home: dict[str, str]) -> None:
    path = write(tmp_path / "somewhere" / "config.toml")
    assert nats_of(load_operator_settings(path, home)).nkey_file == str(tmp_path / "somewhere" / "operator.nk")
    other = tmp_path / "other.nk"
    ensure_user_seed(other)
    environ = {**home, "STRONGROOM_NATS_URL": "nats://elsewhere:1", "STRONGROOM_NATS_NKEY_FILE": str(other)}
    settings = load_operator_settings(path, environ)
    assert (nats_of(settings).url, nats_of(settings).nkey_file) == ("nats://elsewhere:1", str(other))


def test_variables_alone_are_enough(tmp_path: Path, home: dict[str, str]) -> None:
    seed = tmp_path / "operator.nk"
    ensure_user_seed(seed)
    environ = {**home, "STRONGROOM_NATS_URL": "nats://here:1", "STRONGROOM_NATS_NKEY_FILE": str(seed)}
    settings = load_operator_settings(None, environ)
    assert (nats_of(settings).url, nats_of(settings).nkey_file) == ("nats://here:1", str(seed))


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ('[nats]\nnkey_file = "operator.nk"\nurll = "x"\n', "urll"),
        ('[nats]\nnkey_file = "operator.nk"\nurl = 5\n', "nats.url"),
        ("[nats]\n", "nkey_file"),
        ('nonsense = 1\n[nats]\nnkey_file = "operator.nk"\n', "nonsense"),
        ("[nats\n", "TOML"),
        ('[nats]\nnkey_file = "absent.nk"\n', "nats.nkey_file"),
    ],
)
def test_what_is_wrong_is_named_with_its_file(tmp_path: Path, home: dict[str, str], text: str, named: str) -> None:
    path = write(tmp_path / "config.toml", text)
    with pytest.raises(InvalidInput, match=r"config\.toml") as caught:
        load_operator_settings(path, home)
    assert named in caught.value.message


def test_a_file_that_is_no_seed_is_not_quoted(tmp_path: Path, home: dict[str, str]) -> None:
    path = write(tmp_path / "config.toml", '[nats]\nnkey_file = "wrong.nk"\n')
    (tmp_path / "wrong.nk").write_text("SUPERSECRET")
    with pytest.raises(InvalidInput) as caught:
        load_operator_settings(path, home)
    assert caught.value.code == "key.invalid"
    assert "SUPERSECRET" not in str(caught.value)


def test_without_any_configuration_both_ways_out_are_told(zygote: Zygote, tmp_path: Path) -> None:
    lost = Strongroom(zygote, tmp_path, None)
    ended = lost("node", "list").failed(2, "config.invalid")
    assert "strongroom up" in ended.err
    assert str(tmp_path / ".config/strongroom/config.toml") in ended.err
    assert "nkey_file" in ended.err
    assert lost("node", "list", "--json").failed(2, "config.invalid").error["detail"]


def test_the_file_is_found_in_its_usual_place(zygote: Zygote, world: Platform, tmp_path: Path) -> None:
    place = tmp_path / ".config/strongroom/config.toml"
    place.parent.mkdir(parents=True)
    place.write_bytes((world.directory / "operator.toml").read_bytes())
    Strongroom(zygote, tmp_path, None)("node", "list").ok()


def test_a_variable_that_is_no_setting_of_ours_changes_nothing(strongroom: Strongroom) -> None:
    strongroom("node", "list", STRONGROOM_NATS_NONSENSE="1").ok()
