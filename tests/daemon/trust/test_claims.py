"""What the accounts may do, as pure claims."""

from __future__ import annotations

from datetime import UTC, datetime

from daemon.trust import claims, jwt, rights
from daemon.trust.keys import KeyKind, KeyPair

NOW = datetime(2026, 3, 1, tzinfo=UTC)
SIGNER = KeyPair.generate(KeyKind.ACCOUNT)
CORE = claims.Exporter(account=KeyPair.generate(KeyKind.ACCOUNT).public, signer=SIGNER)
ACCOUNT = KeyPair.generate(KeyKind.ACCOUNT).public


def test_core_gives_out_nothing_without_a_token() -> None:
    exports = claims.core_claims(SIGNER.public)["exports"]
    assert exports
    assert all(export["token_req"] for export in exports)


def test_whatever_an_account_imports_has_a_token_for_it_alone() -> None:
    for content in (
        claims.node_claims("db-1", ACCOUNT, SIGNER.public, CORE, NOW),
        claims.operators_claims(ACCOUNT, SIGNER.public, CORE, NOW),
        claims.guests_claims(ACCOUNT, SIGNER.public, CORE, NOW),
    ):
        assert content["limits"]["imports"] == len(content["imports"])
        for entry in content["imports"]:
            token = jwt.decode(entry["token"])
            assert (token["sub"], token["iss"]) == (ACCOUNT, SIGNER.public)
            assert token["nats"]["subject"] == entry["subject"]
            assert token["nats"]["issuer_account"] == entry["account"] == CORE.account


def test_no_account_but_core_has_jetstream_leaf_nodes_or_exports() -> None:
    for content in (
        claims.node_claims("db-1", ACCOUNT, SIGNER.public, CORE, NOW),
        claims.operators_claims(ACCOUNT, SIGNER.public, CORE, NOW),
        claims.guests_claims(ACCOUNT, SIGNER.public, CORE, NOW),
        claims.closed_claims(NOW),
    ):
        limits = content["limits"]
        assert limits["exports"] == limits["leaf"] == 0
        assert limits["disallow_bearer"]
        assert "disk_storage" not in limits
        assert "mem_storage" not in limits
        assert "exports" not in content


def test_an_agent_may_say_and_hear_what_static_configuration_lets_it() -> None:
    (scope,) = claims.node_claims("db-1", ACCOUNT, SIGNER.public, CORE, NOW)["signing_keys"]
    assert scope["template"]["pub"]["allow"] == list(rights.node_subjects("db-1"))
    assert scope["template"]["sub"]["allow"] == ["_INBOX_db-1.>"]


def test_an_operator_may_make_no_consumer_and_touch_no_bucket() -> None:
    allowed = rights.operator_services()
    assert not any("CONSUMER" in subject or "KV" in subject for subject in allowed)
    assert rights.JETSTREAM_SHADOW not in allowed


def test_a_closed_account_trusts_no_key_and_revokes_everybody() -> None:
    content = claims.closed_claims(NOW)
    assert content["signing_keys"] == []
    assert content["revocations"] == {"*": int(NOW.timestamp())}
    assert "imports" not in content
