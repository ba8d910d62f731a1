"""Tags that people give, and those that keep a backup from being deleted."""

from __future__ import annotations

import json

from tests.daemon.cli.calling import Strongroom


def completed(strongroom: Strongroom, service: str, *options: str) -> str:
    """The name of a fresh backup."""
    return f"{service}/{strongroom.json('backup', 'create', service, *options)['id']}"


def test_tags_are_added_and_removed(strongroom: Strongroom, service: str) -> None:
    name = completed(strongroom, service, "--tag", "one")
    tagged = strongroom("backup", "tag", name, "--add", "two", "--add", "three").ok()
    assert tagged.out == f"Tags of {name}: one, three, two\n"
    assert strongroom.json("backup", "tag", f"{service}/latest", "--remove", "one", "--add", "four")["tags"] == [
        "four",
        "three",
        "two",
    ]
    head, line = strongroom("backup", "list", service).ok().out.splitlines()
    assert "TAGS" in head
    assert "four three two" in line
    assert "backup.tagged" in strongroom("events", service).ok().out
    everything = ("--remove", "two", "--remove", "three", "--remove", "four")
    assert strongroom("backup", "tag", name, *everything).ok().out == f"Tags of {name}: no tags\n"


def test_a_tag_that_cannot_be_is_refused(strongroom: Strongroom, service: str) -> None:
    name = completed(strongroom, service)
    error = strongroom("backup", "tag", name, "--json").failed(2, "input.invalid").error
    assert error["field"] == "add"
    for options in (("--add", "not a tag"), ("--add", "daily"), ("--add", "x" * 25), ("--remove", "weekly")):
        error = strongroom("backup", "tag", name, *options, "--json").failed(2, "input.invalid").error
        assert error["field"] == options[0].removeprefix("--")
    assert strongroom.json("backup", "show", name)["record"]["tags"] == []


def test_a_protected_backup_is_deleted_by_force_alone(strongroom: Strongroom, service: str) -> None:
    name = completed(strongroom, service)
    assert strongroom("backup", "protect", f"{service}/latest").ok().out == f"Protected {name}: protected\n"
    ended = strongroom("backup", "delete", name, "--yes").failed(4, "backup.protected")
    assert "--force" in ended.err
    declined = strongroom.on_terminal("backup", "delete", name, "--force", types="n\n").failed(1)
    assert "protected by its tag 'protected'" in "".join(declined.out.split("\n"))
    strongroom("backup", "delete", name, "--force", "--yes").ok()
    strongroom("backup", "show", name).failed(3, "backup.not_found")


def test_protection_can_be_taken_away(strongroom: Strongroom, service: str) -> None:
    name = completed(strongroom, service, "--tag", "mine")
    assert strongroom.json("backup", "protect", name)["tags"] == ["mine", "protected"]
    ended = strongroom("backup", "protect", name, "--off").ok()
    assert ended.out == f"No longer protected: {name}: mine\n"
    assert f"strongroom retention plan {service}" in ended.err
    strongroom("backup", "delete", name, "--yes").ok()


def test_the_policy_says_which_tags_protect(strongroom: Strongroom, service: str) -> None:
    strongroom("service", "set-retention", service, "--protect-tag", "keep", "--protect-tag", "audit").ok()
    name = completed(strongroom, service, "--tag", "audit")
    strongroom("backup", "delete", name, "--yes").failed(4, "backup.protected")
    assert strongroom.json("backup", "protect", name, "--off")["tags"] == []
    assert strongroom.json("backup", "protect", name)["tags"] == ["keep"]


def test_a_backup_that_is_not_there_is_not_found(strongroom: Strongroom, service: str) -> None:
    for argv in (("tag", "--add", "x"), ("protect",)):
        verb, *options = argv
        strongroom("backup", verb, f"{service}/latest", *options).failed(3, "backup.not_found")
        ended = strongroom("backup", verb, f"{service}/20200101T000000Z-aaaa", *options, "--json")
        assert json.loads(ended.failed(3).err)["error"]["code"] == "backup.not_found"
