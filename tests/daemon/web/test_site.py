"""What holds for every page: headers, files, errors, and the feed of what happens."""

from __future__ import annotations

import asyncio
import posixpath
import re

import httpx
import pytest

from contracts import control
from contracts.access import Role
from contracts.errors import InvalidInput
from daemon.sse import FrameDecoder
from daemon.web.assets import asset_url, assets
from daemon.web.forms import Form
from daemon.web.rendering import environment
from tests.daemon.web.pages import PAGE, browsing, words
from tests.e2e.stage import Stage

PAGES = (
    "/",
    "/services",
    "/projects",
    "/add-project",
    "/nodes",
    "/activity",
    "/settings",
    "/settings/tokens",
    "/settings/notifications",
)


async def test_every_page_forbids_inline_scripts_styles_frames_and_caches(stage: Stage) -> None:
    async with browsing(stage) as person:
        for path in (*PAGES, "/login", "/projects/nobody", "/nowhere"):
            page = await person.get(path)
            policy = dict(part.split(" ", 1) for part in page.headers["content-security-policy"].split("; "))
            assert policy["default-src"] == "'none'", path
            assert (policy["script-src"], policy["style-src"]) == ("'self'", "'self'"), path
            assert (policy["frame-ancestors"], policy["base-uri"], policy["form-action"]) == (
                "'none'",
                "'none'",
                "'self'",
            ), path
            assert page.headers["cache-control"] == "no-store", path
            assert page.headers["x-content-type-options"] == "nosniff", path
            assert page.headers["referrer-policy"] == "same-origin", path
            assert not re.search(r"<script(?![^>]*\bsrc=)|<style\b|\bstyle=|\son\w+=|javascript:", page.text), path
            assert not re.search(r'(src|href)="(https?:)?//', page.text), path


async def test_scripts_may_load_backups_from_the_store_and_from_nowhere_else(stage: Stage) -> None:
    async with browsing(stage) as person:
        policy = (await person.get("/")).headers["content-security-policy"]
    assert f"connect-src 'self' {stage.settings.store.endpoint_url};" in policy


async def test_every_page_has_a_title_a_main_part_and_one_first_heading(stage: Stage) -> None:
    async with browsing(stage) as person:
        for path in PAGES:
            page = await person.get(path)
            assert page.status_code == 200, path
            assert re.search(r"<title>[^<]+ · Strongroom</title>", page.text), path
            assert len(re.findall(r"<h1\b", page.text)) == 1, path
            assert '<main id="main"' in page.text, path
            assert '<a class="skip" href="#main">' in page.text, path


async def test_files_are_kept_for_good_under_an_address_that_changes_with_them(stage: Stage) -> None:
    async with httpx.AsyncClient(base_url=stage.url) as http:
        first = await http.get(asset_url("app.css"))
        assert first.headers["cache-control"] == "public, max-age=31536000, immutable"
        assert first.headers["content-type"] == "text/css; charset=utf-8"
        assert first.headers["content-encoding"] == "gzip"
        same = await http.get(asset_url("app.css"), headers={"If-None-Match": first.headers["etag"]})
        assert (same.status_code, same.content) == (304, b"")
        old = await http.get("/static/0123456789abcdef/app.css")
        assert (old.status_code, old.headers["cache-control"]) == (200, "no-cache")
        assert (await http.get("/favicon.svg")).headers["content-type"] == "image/svg+xml"


@pytest.mark.parametrize(
    "name", ["../web/site.py", "..%2fsite.py", "%2e%2e/site.py", "vendor/setup-stamp", "nothing.js", ""]
)
async def test_no_other_file_can_be_had(stage: Stage, name: str) -> None:
    async with httpx.AsyncClient(base_url=stage.url) as http:
        assert (await http.get(f"/static/{assets().digest}/{name}")).status_code == 404


async def test_what_there_is_not_is_a_page_for_browsers_and_a_problem_for_programs(stage: Stage) -> None:
    async with browsing(stage) as person:
        page = await person.get("/nowhere")
        assert (page.status_code, page.headers["content-type"]) == (404, "text/html; charset=utf-8")
        assert "There is no such page" in words(page)
        inside = await person.get("/projects/nobody")
        assert inside.status_code == 404
        assert "There is no project 'nobody'." in words(inside)
        api = await person.get("/api/v1/nowhere")
        assert api.headers["content-type"] == "application/problem+json"
        program = await person.http.get("/nowhere", headers={"Accept": "*/*"})
        assert program.headers["content-type"] == "application/problem+json"
        part = await person.get("/projects/nobody", **{"HX-Request": "true"})
        assert (part.status_code, part.json()["code"]) == (404, "project.not_found")


async def test_a_query_that_makes_no_sense_is_told_of(stage: Stage) -> None:
    async with browsing(stage) as person:
        for path in (
            "/services?level=purple",
            "/services?cursor=x",
            "/activity?kind=x",
            "/activity?cursor=x",
            "/activity?project=A B",
        ):
            page = await person.get(path)
            assert page.status_code == 400, path
            assert "Traceback" not in page.text, path


async def test_names_from_elsewhere_are_never_markup(stage: Stage) -> None:
    evil = "<script>alert(1)</script>\"'>"
    async with browsing(stage) as person:
        made = await person.post("/settings/tokens", name=evil, role="viewer", expires="30")
        assert made.status_code == 200
        for page in (
            made,
            await person.get("/settings/tokens"),
            await person.get(f"/services?search={evil}"),
            await person.get("/activity"),
        ):
            assert "<script>alert" not in page.text
            assert "alert(1)" in page.text


async def test_a_token_is_shown_once_and_only_its_id_afterwards(stage: Stage) -> None:
    async with browsing(stage) as person:
        made = await person.post("/settings/tokens", name="ci of acme", role="operator", expires="30")
        secret = re.search(r"srm_[a-z2-7]{10}_[A-Za-z0-9_-]{43}", made.text)
        assert secret
        again = await person.get("/settings/tokens")
        assert secret[0] not in again.text
        assert secret[0][4:14] in again.text
    async with browsing(stage, None) as another:
        assert (await another.log_in(secret[0])).status_code == 303


async def test_what_was_typed_comes_back_with_what_is_wrong_with_it(stage: Stage) -> None:
    await stage.project("acme")
    async with browsing(stage) as person:
        page = await person.post(
            "/add-project", name="Not A Slug", plan="custom", quota="7 apples", recipients="age1nothing"
        )
        assert page.status_code == 422
        assert 'value="Not A Slug"' in page.text
        assert 'id="field-quota-error"' in page.text
        taken = await person.post("/add-project", name="acme", plan="serious")
        assert 'id="field-name-error"' in taken.text
        recipient = await person.post("/add-project", name="globex", plan="serious", recipients="age1nothing")
        assert 'id="field-recipients-error"' in recipient.text, words(recipient)
        unknown = await person.post("/projects/acme/add-service?kind=postgresql", name="orders", nodes="nobody")
        assert unknown.status_code == 422
        assert "nobody" in words(unknown)
        empty = await person.post("/projects/acme/add-service?kind=postgresql", name="orders")
        assert "Name at least one node" in words(empty)


async def test_a_project_is_deleted_only_by_its_name_and_can_be_had_back(stage: Stage) -> None:
    await stage.project("acme")
    async with browsing(stage) as person:
        refused = await person.post("/projects/acme/delete", confirm="acm")
        assert refused.status_code == 422
        assert "Type acme to delete it." in words(refused)
        assert (await person.post("/projects/acme/delete", confirm="acme")).status_code == 303
        page = await person.get("/projects/acme")
        assert "acme is deleted. Until" in words(page)
        assert "Add a service" not in words(page)
        asked = await person.post("/projects/acme/undelete")
        assert "Have acme back?" in words(asked)
        assert "It was deleted" in words(await person.get("/projects/acme"))
        assert (await person.post("/projects/acme/undelete", confirmed="yes")).status_code == 303
        assert "Add a service" in words(await person.get("/projects/acme"))


async def test_a_message_is_shown_on_the_next_page_and_once(stage: Stage) -> None:
    async with browsing(stage) as person:
        await person.post("/nodes", node="db-9")
        first = await person.get("/nodes?added=db-9")
        assert "The node db-9 is known now." in words(first)
        assert "The node db-9 is known now." not in words(await person.get("/nodes?added=db-9"))


async def test_a_part_of_a_page_leaves_messages_to_the_page_that_follows(stage: Stage) -> None:
    async with browsing(stage) as person:
        await person.post("/nodes", node="db-9")
        await person.get("/nodes", **{"HX-Request": "true"})
        assert "The node db-9 is known now." in words(await person.get("/nodes"))


async def test_who_looks_is_told_what_happens_and_of_other_projects_nothing(stage: Stage) -> None:
    await stage.project("acme")
    await stage.project("globex")
    async with (
        browsing(stage, Role.VIEWER, project="acme") as person,
        person.http.stream("GET", "/live", headers=PAGE) as feed,
    ):
        assert feed.headers["content-type"].startswith("text/event-stream")
        assert "content-security-policy" in feed.headers
        decoder, heard = FrameDecoder(), []

        async def listen() -> None:
            async for part in feed.aiter_bytes():
                for frame in decoder.feed(part):
                    heard.append(frame)
                    if frame.event == "hello":
                        for project in ("globex", "acme"):
                            await stage.operator.call(control.PROJECT_DELETE, control.ProjectDelete(project=project))
                    if frame.event == "change":
                        return

        await asyncio.wait_for(listen(), 20)
    assert [frame.event for frame in heard] == ["hello", "change"]
    assert '"project.deleted"' in heard[-1].data
    assert "globex" not in heard[-1].data


async def test_a_feed_is_refused_to_who_is_not_logged_in(stage: Stage) -> None:
    async with httpx.AsyncClient(base_url=stage.url) as http:
        refused = await http.get("/live", headers={"Accept": "text/event-stream"})
    assert (refused.status_code, refused.json()["code"]) == (401, "access.unauthenticated")


def test_every_template_can_be_read_and_names_files_that_there_are() -> None:
    env = environment()
    assert env.loader is not None
    for name in env.list_templates():
        env.get_template(name)
        source = env.loader.get_source(env, name)[0]
        for file in re.findall(r"""asset\(["']([^"']+)["']\)""", source):
            assert file in assets().files, (name, file)


def test_every_script_imports_files_that_there_are() -> None:
    for name, asset in assets().files.items():
        if name.endswith(".js") and not name.startswith("vendor/"):
            for path in re.findall(r"""(?:from|import)\s+["'](\.[^"']+)["']""", asset.data.decode()):
                assert posixpath.normpath(posixpath.join(posixpath.dirname(name), path)) in assets().files, (name, path)


def test_errors_belong_to_the_field_that_the_form_calls_otherwise() -> None:
    form = Form.filled(quota="x")
    form.refuse(InvalidInput("input.invalid", "too small", field="quota_bytes"), quota_bytes="quota")
    assert form.error("quota") == "too small"
    form = Form.filled()
    form.refuse(InvalidInput("input.invalid", "odd", field="elsewhere"))
    assert (form.general, form.field_errors) == ("odd", {})
