"""What comes back whatever is sent: problems with their field, and heads that say no more than they must."""

from __future__ import annotations

import asyncio
import socket
from typing import Any, Final

from daemon.http.app import MOST_BODY_BYTES
from daemon.http.server import _listen
from daemon.http.settings import HttpSettings
from tests.daemon.http.calling import Door

JSON = {"Content-Type": "application/json"}


WRONG: Final[list[tuple[str, str, dict[str, Any], int, str, str | None]]] = [
    ("POST", "/projects", {"content": b"{", "headers": JSON}, 400, "input.malformed", None),
    ("POST", "/projects", {"content": b"[" * 100_000, "headers": JSON}, 400, "input.malformed", None),
    ("POST", "/projects", {"content": b"\xff\xfe", "headers": JSON}, 400, "input.malformed", None),
    ("POST", "/projects", {"json": {}}, 400, "input.invalid", "name"),
    ("POST", "/projects", {"json": {"name": 7}}, 400, "input.invalid", "name"),
    ("POST", "/projects", {"json": {"name": "Not A Name"}}, 400, "input.invalid", "name"),
    ("POST", "/projects", {"json": {"name": "acme", "colour": "red"}}, 400, "input.invalid", "colour"),
    ("POST", "/projects", {"json": {"name": "acme"}, "params": {"plan": "serious"}}, 400, "input.invalid", "plan"),
    ("POST", "/projects", {"data": {"name": "acme"}}, 415, "input.malformed", None),
    ("POST", "/projects", {"content": b"{}"}, 415, "input.malformed", None),
    (
        "POST",
        "/projects",
        {"content": b"{}", "headers": {"Content-Type": "application/json; charset=latin-1"}},
        415,
        "input.malformed",
        None,
    ),
    ("GET", "/backups", {"params": {"limit": 0}}, 400, "input.invalid", "limit"),
    ("GET", "/backups", {"params": {"cursor": "made-up"}}, 400, "input.invalid", "cursor"),
    ("GET", "/backups", {"params": {"project": "ghost"}}, 404, "project.not_found", "project"),
    ("GET", "/backups", {"params": {"nonsense": "1"}}, 400, "input.invalid", "nonsense"),
    ("GET", "/projects/NOT%20A%20NAME", {}, 400, "input.invalid", "project"),
    ("GET", "/projects/a%00b", {}, 400, "input.invalid", "project"),
    ("GET", "/projects/a%2Fb", {}, 404, "input.invalid", None),
    ("GET", "/projects/ghost/services/x/backups/not-an-id", {}, 400, "input.invalid", "backup"),
    ("DELETE", "/projects/ghost", {"content": b"{}", "headers": JSON}, 400, "input.invalid", "body"),
    ("GET", "/nothing", {}, 404, "input.invalid", None),
    ("DELETE", "/overview", {}, 405, "input.invalid", None),
    ("BREW", "/overview", {}, 405, "input.invalid", None),
]
"""What is sent, and the status, code and field of what comes back."""


async def test_what_is_wrong_is_named(door: Door) -> None:
    for method, path, more, status, code, field in WRONG:
        answer = await door.call(method, path, **more)
        assert answer.headers["content-type"] == "application/problem+json"
        problem = answer.json()
        assert (answer.status_code, problem["code"], problem.get("field")) == (status, code, field), (path, more, problem)
        assert problem["status"] == status
        assert problem["detail"]
        assert "Traceback" not in answer.text


async def test_json_of_every_usual_spelling_is_read(door: Door) -> None:
    for number, kind in enumerate(
        ("application/json", "Application/JSON;charset=UTF-8", 'application/json; charset="utf-8"')
    ):
        body = f'{{"name":"p{number}"}}'.encode()
        answer = await door.call("POST", "/projects", content=body, headers={"Content-Type": kind})
        assert answer.status_code == 201, answer.text


async def test_a_body_too_large_is_refused_whether_or_not_it_says_its_length(door: Door) -> None:
    async def chunks() -> Any:
        for _ in range(20):
            yield b" " * (MOST_BODY_BYTES // 10)

    for content in (b" " * (MOST_BODY_BYTES + 1), chunks()):
        answer = await door.call("POST", "/projects", content=content, headers=JSON)
        assert (answer.status_code, answer.json()["code"]) == (413, "input.invalid")


async def test_a_head_too_large_is_refused_and_nothing_of_it_is_kept(door: Door) -> None:
    host, port = door.url.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(b"GET /api/v1/self HTTP/1.1\r\nHost: x\r\nX-Filler: " + b"x" * 200_000)
    try:
        await writer.drain()
        assert (await reader.readline()).startswith(b"HTTP/1.1 400")
    except ConnectionError:
        pass  # the server closed before it had read all of it
    finally:
        writer.close()


async def test_every_answer_of_the_api_is_for_programs_only(door: Door) -> None:
    answers = [
        await door.call("GET", "/self"),
        await door.call("GET", "/self", token=""),
        await door.call("GET", "/nothing"),
        await door.call("OPTIONS", "/self"),
        await door.http.get("/healthz"),
    ]
    for answer in answers:
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["cache-control"] == "no-store"
        assert answer.headers["content-security-policy"].startswith("default-src 'none'")
        assert not [name for name in answer.headers if name.startswith("access-control-")]
        assert "server" not in answer.headers


async def test_no_answer_waits_for_the_one_before_to_be_acknowledged() -> None:
    """With Nagle's algorithm a body waits 40 ms for its head, and asyncio switches it off only where TCP is named."""
    listener = _listen(HttpSettings(port=0))
    accepted: asyncio.Future[int] = asyncio.get_running_loop().create_future()

    def take(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connection = writer.get_extra_info("socket")
        accepted.set_result(connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY))
        writer.close()

    async with await asyncio.start_server(take, sock=listener) as server:
        _, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
        assert await accepted != 0
        writer.close()
        await writer.wait_closed()


async def test_head_is_get_without_its_body(door: Door) -> None:
    got, headed = await door.call("GET", "/self"), await door.call("HEAD", "/self")
    assert headed.status_code == 200
    assert headed.content == b""
    assert headed.headers["content-length"] == str(len(got.content))


async def test_options_and_a_wrong_method_say_what_there_is(door: Door) -> None:
    options = await door.call("OPTIONS", "/projects/acme")
    assert (options.status_code, options.headers["allow"]) == (204, "DELETE, GET, HEAD, OPTIONS")
    wrong = await door.call("PUT", "/projects/acme")
    assert (wrong.status_code, wrong.headers["allow"]) == (405, "DELETE, GET, HEAD, OPTIONS")
