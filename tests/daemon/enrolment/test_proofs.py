"""What a host has to prove, and what is refused."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest

from agents.credentials import new_seed, public_key, renew_at, sign
from contracts.age import Decryptor, Identity
from contracts.enrolment import Hello, Join, signed_bytes
from contracts.errors import Denied, StrongroomError
from daemon.enrolment.proofs import Proofs

NOW = datetime(2030, 1, 1, tzinfo=UTC)
PROOFS = Proofs(b"k" * 32)
TOKEN = "abcdefghij"


def proven(proofs: Proofs = PROOFS) -> Join:
    """A host that holds both keys."""
    seed, identity = new_seed(), Identity.generate()
    key, recipient = public_key(seed), str(identity.recipient)
    challenge = proofs.challenge(Hello(token_id=TOKEN, public_key=key, recipient=recipient), now=NOW)
    decryptor = Decryptor([identity])
    nonce = decryptor.feed(challenge.sealed) + decryptor.finish()
    return Join(
        token_id=TOKEN,
        secret="s",
        public_key=key,
        recipient=recipient,
        issued_at=challenge.issued_at,
        nonce=nonce,
        signature=sign(seed, signed_bytes(TOKEN, key, recipient, nonce)),
    )


def test_whoever_holds_both_keys_is_believed_by_any_coordinator() -> None:
    Proofs(b"k" * 32).check(proven(), now=NOW + timedelta(seconds=5))


@pytest.mark.parametrize(
    "forged",
    [
        {"nonce": b"x" * 32},
        {"nonce": b""},
        {"signature": b"x" * 64},
        {"signature": b""},
        {"token_id": "jihgfedcba"},
        {"issued_at": NOW + timedelta(seconds=1)},
        {"recipient": str(Identity.generate().recipient)},
        {"public_key": public_key(new_seed())},
    ],
    ids="-".join,
)
def test_a_proof_of_anything_else_is_refused(forged: dict[str, Any]) -> None:
    with pytest.raises(Denied) as refused:
        PROOFS.check(msgspec.structs.replace(proven(), **forged), now=NOW)
    assert refused.value.code == "join.unproven"


@pytest.mark.parametrize("late", [timedelta(minutes=3), timedelta(minutes=-1)])
def test_a_proof_is_good_for_a_short_time_only(late: timedelta) -> None:
    with pytest.raises(Denied, match="too old"):
        PROOFS.check(proven(), now=NOW + late)


def test_a_challenge_of_another_installation_proves_nothing() -> None:
    with pytest.raises(Denied):
        PROOFS.check(proven(Proofs(b"j" * 32)), now=NOW)


def test_a_malformed_key_is_named() -> None:
    for broken in ({"public_key": "U" + "A" * 55}, {"recipient": "age1x"}):
        with pytest.raises(StrongroomError) as refused:
            PROOFS.check(msgspec.structs.replace(proven(), **broken), now=NOW)
        assert refused.value.code == "key.invalid"


@pytest.mark.parametrize("jitter", [0.0, 0.5, 1.0])
def test_credentials_are_renewed_around_the_half_of_their_life(jitter: float) -> None:
    at = renew_at(NOW, NOW + timedelta(days=30), jitter)
    assert NOW + timedelta(days=13) < at < NOW + timedelta(days=17)
