"""What the restore wizard offers, asks for and says."""

from __future__ import annotations

import pytest

from agents.drivers import base
from agents.drivers.elasticsearch.driver import ElasticsearchDriver
from agents.drivers.mariadb import driver as mariadb
from agents.drivers.meilisearch.driver import MeilisearchDriver
from agents.drivers.nats.driver import NATSDriver
from agents.drivers.postgresql import driver as postgresql
from agents.drivers.qdrant.driver import QdrantDriver
from agents.drivers.shared_storage.driver import SharedStorageDriver
from contracts.errors import InvalidInput
from contracts.records import BackupRecord
from contracts.services import OPTIONS_BY_KIND
from daemon.web.forms import Form
from daemon.web.service.restore_abilities import RestoreAbilities, restore_abilities
from daemon.web.service.restore_plan import restore_plan
from daemon.web.service.restore_request import blank_form, rename_field, restore_request
from tests.daemon.web.service.records import AT, artifact, backup


def _logical() -> BackupRecord:
    return backup(AT, artifact("globals", "globals", plain_bytes=400), artifact("orders", plain_bytes=4000))


def _form(record: BackupRecord, **fields: str | list[str]) -> Form:
    blank = blank_form(record)
    changed = {name: [value] if isinstance(value, str) else value for name, value in fields.items()}
    return Form({**blank.values, **changed})


@pytest.mark.parametrize(
    ("kind", "artifact_kind", "driver"),
    [
        ("postgresql", "database", postgresql._LOGICAL),
        ("postgresql", "cluster", postgresql._PHYSICAL),
        ("mariadb", "database", mariadb._LOGICAL),
        ("mariadb", "datadir", mariadb._PHYSICAL),
        ("qdrant", "collection", QdrantDriver.capabilities),
        ("elasticsearch", "index", ElasticsearchDriver.capabilities),
        ("nats", "stream", NATSDriver.capabilities),
        ("meilisearch", "dump", MeilisearchDriver.capabilities),
        ("shared-storage", "tree", SharedStorageDriver.capabilities),
    ],
)
def test_the_wizard_offers_what_the_driver_can_do(kind: str, artifact_kind: str, driver: object) -> None:
    if isinstance(driver, property):
        offered = _stated(driver)
    else:
        assert isinstance(driver, base.Capabilities)
        offered = driver
    ours = restore_abilities(kind, [artifact("x", artifact_kind)])
    for name in ("rename", "directory", "paths", "skip_roles"):
        assert getattr(ours, name) == getattr(offered, name), name


def _stated(capabilities: property) -> base.Capabilities:
    """What the property gives for a driver of which nothing is known."""

    class Nobody:
        class _connection:  # noqa: N801 - as the driver has it
            bin_dir = ""

    found = capabilities.fget(Nobody())  # type: ignore[misc]
    assert isinstance(found, base.Capabilities)
    return found


def test_every_kind_of_service_has_its_abilities() -> None:
    for kind in OPTIONS_BY_KIND:
        assert restore_abilities(kind, []) != RestoreAbilities(), kind
    assert restore_abilities("of-tomorrow", []) == RestoreAbilities()


def test_a_blank_form_asks_for_everything_back_to_where_it_came_from() -> None:
    record = _logical()
    request = restore_request(record, blank_form(record))
    assert (request.to_project, request.to_service) == ("acme", "orders")
    assert request.artifacts == []
    assert not request.replace


def test_a_form_asks_for_what_was_chosen_and_renamed() -> None:
    record = _logical()
    form = _form(record, to="acme/staging", artifact=["1"], **{rename_field(1): "orders_copy"}, skip_roles="yes")
    request = restore_request(record, form)
    assert request.artifacts == ["orders"]
    assert request.rename == {"orders": "orders_copy"}
    assert request.to_service == "staging"
    assert request.skip_roles


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"artifact": []}, "artifact"),
        ({"to": "nowhere"}, "to"),
        ({"to": "acme/Über"}, "to"),
    ],
)
def test_a_form_that_makes_no_sense_names_its_field(fields: dict[str, str | list[str]], field: str) -> None:
    record = _logical()
    with pytest.raises(InvalidInput) as told:
        restore_request(record, _form(record, **fields))
    assert told.value.field == field


def test_two_artifacts_cannot_get_the_same_name() -> None:
    record = backup(AT, artifact("a"), artifact("b"))
    with pytest.raises(InvalidInput) as told:
        restore_request(record, _form(record, **{rename_field(0): "b"}))
    assert told.value.field == rename_field(1)


def test_roles_are_not_renamed_whatever_a_form_says() -> None:
    record = _logical()
    assert restore_request(record, _form(record, **{rename_field(0): "other"})).rename == {}


def test_a_physical_backup_needs_a_directory_and_is_restored_as_a_whole() -> None:
    record = backup(AT, artifact("cluster", "cluster"))
    with pytest.raises(InvalidInput) as told:
        restore_request(record, _form(record))
    assert told.value.field == "directory"
    request = restore_request(record, _form(record, directory="/srv/back", artifact=[], paths="a", skip_roles="yes"))
    assert request.directory == "/srv/back"
    assert (request.artifacts, request.paths, request.skip_roles) == ([], [], False)


def test_mariadbs_accounts_alone_need_no_directory() -> None:
    record = backup(AT, artifact("server", "datadir"), artifact("users", "users"), kind="mariadb")
    assert restore_request(record, _form(record, artifact=["1"])).artifacts == ["users"]


def test_files_of_a_tree_are_named_line_by_line() -> None:
    record = backup(AT, artifact("files", "tree"), kind="shared-storage")
    assert restore_request(record, _form(record, paths="invoices/2026\n\nlogo.png\n")).paths == ["invoices/2026", "logo.png"]


def test_a_plan_says_what_is_made_how_large_it_is_and_what_stays() -> None:
    record = _logical()
    form = _form(record, artifact=["1"], **{rename_field(1): "orders_copy"})
    plan = restore_plan(record, restore_request(record, form), known_there={"orders"})
    (line,) = plan.artifacts
    assert (line.name, line.new_name, line.plain_bytes) == ("orders", "orders_copy", 4000)
    assert line.outcome == "is made new; refused if orders_copy exists and holds data"
    assert plan.left_out == ["globals"]
    assert (plan.plain_bytes, plan.stored_bytes) == (4000, 1000)
    assert not plan.needs_word
    assert "Data that are there: nothing is replaced." in plan.untouched
    assert any("1000 B from the bucket" in step or "0.98 KiB from the bucket" in step for step in plan.steps)


def test_a_plan_that_replaces_needs_a_word_and_says_what_is_lost() -> None:
    record = _logical()
    plan = restore_plan(record, restore_request(record, _form(record, replace="yes")), known_there={"orders"})
    roles, orders = plan.artifacts
    assert plan.needs_word
    assert not roles.replaces
    assert roles.outcome.startswith("roles that are missing are made")
    assert orders.replaces
    assert orders.outcome == "takes the place of orders, and what that holds now is lost"
    assert not any("nothing is replaced" in line for line in plan.untouched)


def test_a_plan_for_what_is_likely_there_warns_that_it_may_be_refused() -> None:
    record = _logical()
    plan = restore_plan(record, restore_request(record, blank_form(record)), known_there={"orders"})
    assert "so it may be refused" in plan.artifacts[1].outcome


def test_a_plan_into_a_directory_leaves_the_running_server_alone() -> None:
    record = backup(AT, artifact("cluster", "cluster"))
    plan = restore_plan(record, restore_request(record, _form(record, directory="/srv/back")))
    assert plan.artifacts[0].outcome == "goes into the directory /srv/back, which has to be empty or not there"
    assert any("The running server of acme/orders" in line for line in plan.untouched)


def test_a_plan_for_another_service_says_that_the_original_stays() -> None:
    record = _logical()
    plan = restore_plan(record, restore_request(record, _form(record, to="acme/staging")))
    assert plan.is_elsewhere
    assert "acme/orders, which was backed up." in plan.untouched
