"""Tokens by the command line: shown once, listed without what lets anybody in, ended."""

from __future__ import annotations

import re

from tests.daemon.cli.calling import Strongroom

TOKEN = re.compile(r"srm_[a-z2-7]{10}_[A-Za-z0-9_-]{43}")


def test_a_token_is_shown_once_and_alone_for_whatever_reads_it(strongroom: Strongroom, project: str) -> None:
    made = strongroom("token", "create", "ci of orders", "--role", "operator", "--project", project, "--days", "90").ok()
    assert TOKEN.fullmatch(made.out.strip())
    assert "operator" in made.err
    assert f"of {project}" in made.err
    assert "strongroom login" in made.err
    token_id = made.out.split("_")[1]
    assert f"token revoke {token_id}" in made.err
    listed = strongroom("token", "list", "--project", project).ok().out
    assert token_id in listed
    assert not TOKEN.search(listed)
    (view,) = strongroom.json("token", "list", "--project", project)["tokens"]
    assert (view["name"], view["role"], view["state"]) == ("ci of orders", "operator", "active")
    assert "secret_sha256" not in view
    assert "confirmed" in strongroom("token", "revoke", token_id).failed(2, "input.invalid").err
    strongroom("token", "revoke", token_id, "--yes").ok()
    (view,) = strongroom.json("token", "list", "--project", project)["tokens"]
    assert view["state"] == "revoked"


def test_what_a_token_cannot_be_is_told(strongroom: Strongroom, project: str) -> None:
    argv = ("token", "create", "x", "--role", "viewer")
    strongroom(*argv, "--project", "nobody").failed(3, "project.not_found")
    assert strongroom(*argv, "--days", "soon", "--json").failed(2, "input.invalid").error["field"] == "days"
    assert strongroom(*argv, "--days", "-1", "--json").failed(2, "input.invalid").error["field"] == "expires_in_days"
    assert "token list" in strongroom("token", "revoke", "aaaaaaaaaa", "--yes").failed(3, "token.not_found").err
    endless = strongroom.json("token", "create", "monitoring", "--role", "viewer", "--days", "never", "--project", project)
    assert endless["view"]["expires_at"] is None


def test_over_nats_the_operator_is_an_admin(strongroom: Strongroom) -> None:
    answer = strongroom.json("whoami")
    assert (answer["role"], answer["project"]) == ("admin", "")
    assert "NATS" in answer["coordinator"]
