"""The recovery kit, followed to the letter by stock programs."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

import pytest

from contracts import control
from contracts.age import Identity
from contracts.errors import InvalidInput
from contracts.recovery_kit import kit_html, kit_sections, kit_text, restore_lines
from tests.daemon.cli.calling import Strongroom
from tests.daemon.custody.scene import key_file, set_up
from tests.integration.platform import Platform
from tests.integration.test_backup_and_restore import content
from tests.servers.postgres import Database

OWNER, NEXT = Identity.generate(), Identity.generate()


async def test_the_lines_of_the_kit_bring_a_lost_database_back_without_any_code_of_ours(
    platform: Platform, strongroom: Strongroom, shop: Database, tmp_path: Path
) -> None:
    platform.write_service()
    platform.start_coordinator()
    platform.start_agent()
    async with platform.operator() as operator:
        await set_up(operator, shop, OWNER)
        await operator.completed(await operator.request())
        kit = await operator.call(control.PROJECT_RECOVERY_KIT, control.ProjectRef(project="acme"))
        page = (await strongroom.beside("project", "recovery-kit", "acme")).ok().out
        target = strongroom.home / "kit.html"
        (await strongroom.beside("project", "recovery-kit", "acme", "--html", "--output", str(target))).ok()
        again = await strongroom.beside("project", "recovery-kit", "acme", "--html", "--output", str(target))
        again.failed(2, "input.invalid")
    before = content(platform.cluster, shop.name)
    platform.stop()
    platform.cluster.query(f'DROP DATABASE "{shop.name}" WITH (FORCE)')

    home = tmp_path / "elsewhere"
    home.mkdir()
    key_file(home / "key.txt", OWNER)
    server = platform.bucket.server
    env = {
        **os.environ,
        "AWS_ACCESS_KEY_ID": server.access_key,
        "AWS_SECRET_ACCESS_KEY": server.secret_key,
        "AWS_DEFAULT_REGION": kit.region,
        "PGHOST": shop.host,
        "PGPORT": str(shop.port),
        "PGUSER": platform.cluster.superuser,
        "PGPASSWORD": platform.cluster.password,
    }
    (service,) = kit.services
    lines = restore_lines(kit, service)
    script = ["bash", "-e", "-o", "pipefail", "-c", "\n".join(lines)]
    ended = subprocess.run(script, cwd=home, env=env, capture_output=True, text=True, timeout=90, check=False)
    assert ended.returncode == 0, ended.stderr
    assert content(platform.cluster, shop.name) == before

    inventory = kit_sections(kit)[-1].commands
    told = subprocess.run(["bash", "-c", *inventory], cwd=home, capture_output=True, text=True, timeout=60, check=True)
    assert shop.name in told.stdout
    for line in lines:
        assert line in page
    printed = target.read_text()
    assert not re.search(r"<script|<link|<img|url\(|@import", printed)
    for text in (page, printed):
        assert str(OWNER.recipient) in text
        assert OWNER.reveal() not in text


async def test_recipients_change_for_new_backups_and_old_ones_keep_theirs(
    platform: Platform, strongroom: Strongroom, shop: Database
) -> None:
    platform.write_service()
    platform.start_coordinator()
    platform.start_agent()
    owner, following = str(OWNER.recipient), str(NEXT.recipient)
    async with platform.operator() as operator:
        await set_up(operator, shop, OWNER)
        before = await operator.completed(await operator.request())
        told = (await strongroom.beside("project", "set-recipients", "acme", "--add", following, "--remove", owner)).ok()
        assert "open for whom they were made" in " ".join(told.err.split())
        after = await operator.completed(await operator.request())
        assert (await operator.record(before)).recipients == [owner]
        assert after.recipients == [following]
        with pytest.raises(InvalidInput, match="needs a recipient") as refused:
            await operator.call(
                control.PROJECT_SET_RECIPIENTS, control.ProjectSetRecipients(project="acme", remove=[following])
            )
        assert refused.value.field == "remove"
        for text, words in (("age1pq1abc", "post-quantum"), ("hunter2", "passphrases"), (NEXT.reveal(), "secret")):
            with pytest.raises(InvalidInput, match=words) as wrong:
                await operator.call(control.PROJECT_SET_RECIPIENTS, control.ProjectSetRecipients(project="acme", add=[text]))
            assert text not in str(wrong.value)


async def test_a_managed_projects_own_recipient_is_not_anybodys_to_remove_and_its_identity_is_told_of(
    platform: Platform, strongroom: Strongroom, tmp_path: Path
) -> None:
    platform.start_coordinator(log_level="debug")
    async with platform.operator() as operator:
        made = await operator.call(control.PROJECT_CREATE, control.ProjectCreate(name="held"))
        change = control.ProjectSetRecipients(project="held", add=[str(OWNER.recipient)], remove=made.recipients)
        with pytest.raises(InvalidInput, match="rotate-key"):
            await operator.call(control.PROJECT_SET_RECIPIENTS, change)
        added = control.ProjectSetRecipients(project="held", add=[str(OWNER.recipient)])
        changed = await operator.call(control.PROJECT_SET_RECIPIENTS, added)
        assert changed.recipients == [*made.recipients, str(OWNER.recipient)]
        kit = await operator.call(control.PROJECT_RECOVERY_KIT, control.ProjectRef(project="held"))
        assert "sealed under its master key" in kit_text(kit)
        kept = tmp_path / "kit.txt"
        flags = ("--with-identity", "--output", str(kept))
        (await strongroom.beside("project", "recovery-kit", "held", *flags)).failed(2, "input.invalid")
        assert not kept.exists()
        with pytest.raises(InvalidInput, match="confirm") as unconfirmed:
            await operator.call(control.PROJECT_REVEAL, control.ProjectReveal(project="held", confirm=""))
        assert unconfirmed.value.field == "confirm"
        assert not [event for event in await operator.stored_events() if event.type == "key.revealed"]
        (await strongroom.beside("project", "recovery-kit", "held", *flags, "--yes")).ok()
        (secret,) = re.findall(r"AGE-SECRET-KEY-1[0-9A-Z]+", kept.read_text())
        assert str(Identity.parse(secret).recipient) == made.recipients[0]
        assert kept.stat().st_mode & 0o777 == 0o600
        (told,) = [event for event in await operator.stored_events() if event.type == "key.revealed"]
        assert told.facts == {"key_ids": [made.key_id]}
        assert "@" in (told.actor or "")
        assert secret not in platform.log("coordinator")
        assert kit_html(kit).count("<h2>") == len(kit_sections(kit))
