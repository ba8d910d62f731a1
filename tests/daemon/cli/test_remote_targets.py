"""Which coordinator is meant: by option, variable, login or file, in that order, and what is wrong with any of them."""

from __future__ import annotations

from pathlib import Path

import pytest

from contracts.errors import InvalidInput, NotFound, StrongroomError
from contracts.settings import NatsSettings
from daemon.cli.profiles import Profile, Profiles, check_url, is_plain, load_profiles, save_profiles
from daemon.cli.targets import HttpTarget, find_target
from daemon.embedded.nkey_files import ensure_user_seed

TOKEN = "srm_aaaaaaaaaa_" + "s" * 43


@pytest.fixture
def home(tmp_path: Path) -> dict[str, str]:
    return {"HOME": str(tmp_path)}


def write(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    ensure_user_seed(path.parent / "operator.nk")
    (path.parent / "admin.token").write_text(f"{TOKEN}\n")
    return path


BOTH = '[nats]\nnkey_file = "operator.nk"\n[http]\nurl = "https://x.example/"\ntoken_file = "admin.token"\n'


def url_of(target: NatsSettings | HttpTarget) -> str:
    assert isinstance(target, HttpTarget)
    return target.url


def test_each_way_of_saying_it_comes_before_the_next(tmp_path: Path, home: dict[str, str]) -> None:
    usual = write(tmp_path / ".config/strongroom/config.toml", BOTH)
    assert isinstance(find_target(None, "", home), NatsSettings)
    logged_in = Profiles().with_profile("b", Profile(url="https://b.example", token=TOKEN))
    save_profiles(logged_in.with_profile("a", Profile(url="https://a.example", token=TOKEN)), home)
    assert url_of(find_target(None, "", home)) == "https://a.example"
    assert isinstance(find_target(None, "", {**home, "STRONGROOM_CONFIG": str(usual)}), NatsSettings)
    by_variable = {**home, "STRONGROOM_CONFIG": str(usual), "STRONGROOM_PROFILE": "b"}
    assert url_of(find_target(None, "", by_variable)) == "https://b.example"
    by_url = {**by_variable, "STRONGROOM_URL": "https://c.example", "STRONGROOM_TOKEN": TOKEN}
    assert url_of(find_target(None, "", by_url)) == "https://c.example"
    assert url_of(find_target(None, "a", by_url)) == "https://a.example"
    assert isinstance(find_target(usual, "", by_url), NatsSettings)
    with pytest.raises(InvalidInput, match="not both"):
        find_target(usual, "a", home)
    with pytest.raises(NotFound, match="a, b"):
        find_target(None, "c", home)


def test_a_file_with_both_ways_is_used_the_way_that_is_said(tmp_path: Path, home: dict[str, str]) -> None:
    path = write(tmp_path / "operator.toml", BOTH)
    target = find_target(path, "", {**home, "STRONGROOM_USE": "http"})
    assert (url_of(target), TOKEN in repr(target)) == ("https://x.example", False)
    assert isinstance(find_target(path, "", home), NatsSettings)
    write(path, f'use = "http"\n{BOTH}')
    assert url_of(find_target(path, "", home)) == "https://x.example"
    write(path, '[http]\nurl = "https://x.example"\n')
    assert url_of(find_target(path, "", {**home, "STRONGROOM_TOKEN": TOKEN})) == "https://x.example"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "neither"),
        ('use = "http"\n[nats]\nnkey_file = "operator.nk"\n', r"no \[http\]"),
        ('use = "pigeon"\n[nats]\nnkey_file = "operator.nk"\n', "use"),
        ('[http]\nurl = "https://x.example"\n', "no token"),
        ('[http]\nurl = "ftp://x.example"\ntoken_file = "admin.token"\n', "must be a URL"),
        ('[http]\nurl = "https://x.example"\ntoken_file = "absent"\n', "cannot be read"),
        ('[http]\nurl = "https://x.example"\ntoken = "srm_"\n', "token"),
    ],
)
def test_what_is_wrong_with_a_file_is_told(tmp_path: Path, home: dict[str, str], text: str, words: str) -> None:
    with pytest.raises(StrongroomError, match=words):
        find_target(write(tmp_path / "operator.toml", text), "", home)


def test_a_token_never_reaches_a_message(tmp_path: Path, home: dict[str, str]) -> None:
    path = write(tmp_path / "operator.toml", BOTH)
    (tmp_path / "admin.token").write_text(f"{TOKEN} and more")
    with pytest.raises(InvalidInput) as refused:
        find_target(path, "", {**home, "STRONGROOM_USE": "http"})
    assert "s" * 43 not in str(refused.value)
    profile = Profile(url="https://x.example", token=TOKEN)
    assert TOKEN not in repr(Profiles().with_profile("x", profile))
    saved = save_profiles(Profiles().with_profile("x", profile), home)
    saved.write_text(f'current = 5\n[profiles.x]\nurl = "u"\ntoken = "{TOKEN}"\n')
    with pytest.raises(InvalidInput) as refused:
        load_profiles(home)
    assert TOKEN not in str(refused.value)


def test_what_was_saved_is_loaded_again(home: dict[str, str]) -> None:
    saved = Profiles().with_profile("a", Profile(url="https://a.example", token=TOKEN, ca_file="/ca.pem"))
    saved = saved.with_profile("b", Profile(url="https://b.example", token=TOKEN))
    save_profiles(saved, home)
    assert load_profiles(home) == saved
    assert load_profiles(home).without("b").current == ""
    assert saved.without("a").current == "b"


@pytest.mark.parametrize(
    "url", ["", "x.example", "https://", "file:///x", "https://u:p@x.example", "https://x/?a", "http://x:99999"]
)
def test_an_address_that_is_none_is_refused(url: str) -> None:
    with pytest.raises(InvalidInput):
        check_url(url, "url")


def test_only_this_machine_is_spoken_to_in_the_clear() -> None:
    assert not any(map(is_plain, ("https://x.example", "http://127.0.0.1:8420", "http://localhost", "http://[::1]:1")))
    assert is_plain("http://10.0.0.1")
    assert is_plain("http://localhost.example")
