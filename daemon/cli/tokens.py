"""`strongroom token`: what lets programs and people in over HTTP."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

import typer
from rich.console import Console
from rich.text import Text

from contracts import control
from contracts.access import Role, TokenState
from contracts.control import TokenView
from contracts.errors import InvalidInput
from contracts.wire import utc_now
from daemon.cli.arguments import YesOption
from daemon.cli.command import Call, command
from daemon.cli.confirming import confirm
from daemon.cli.figures import ahead, stamp
from daemon.cli.help_pages import Index
from daemon.cli.tables import Column, print_table

tokens = typer.Typer(
    cls=Index, no_args_is_help=True, help="Tokens that let programs and people in over HTTP: the API and the pages."
)

TokenArgument = Annotated[str, typer.Argument(metavar="ID", help="As `strongroom token list` shows it.", show_default=False)]
_STYLES = {TokenState.ACTIVE: "good", TokenState.EXPIRED: "odd", TokenState.REVOKED: "quiet"}


def add_to(app: typer.Typer) -> None:
    app.add_typer(tokens, name="token", rich_help_panel="Set up")


@command(
    tokens,
    "create",
    examples=[
        ("strongroom token create jane --role admin", "for a person who sets things up"),
        ("strongroom token create 'ci of acme' --role operator --project acme --days 90", "for a program, of one project"),
        ("strongroom token create monitoring --role viewer --days never", "for what only looks"),
    ],
)
async def create(
    call: Call,
    name: Annotated[str, typer.Argument(metavar="NAME", help="What people call it.", show_default=False)],
    role: Annotated[
        Role, typer.Option("--role", help="viewer looks; operator runs, restores, downloads; admin changes and deletes.")
    ],
    project: Annotated[
        str, typer.Option("--project", metavar="PROJECT", help="The only project it is good for.", show_default="all")
    ] = "",
    days: Annotated[str, typer.Option("--days", metavar="DAYS", help="How long it is good, or never: without end.")] = "365",
) -> None:
    """Make a token.  It is shown this once, and kept nowhere."""
    request = control.TokenCreate(name=name, role=role, project=project, expires_in_days=_days(days), actor=call.actor)
    async with call.connect() as client:
        answer = await client.ask(control.TOKEN_CREATE, request)
    call.terminal.result(answer, lambda console: _print_alone(console, answer.token))
    view = answer.view
    until = f"until {stamp(view.expires_at)}" if view.expires_at else "without end"
    call.terminal.say(
        f"That is token {view.id} ({view.name}), {view.role} of {view.project or 'all projects'}, good {until}.  It is "
        f"shown this once.\n`strongroom login URL` keeps it for the command line; people log in with it on the "
        f"coordinator's page, and programs send it as `Authorization: Bearer …`.\n"
        f"`strongroom token revoke {view.id}` ends it."
    )


@command(
    tokens,
    "list",
    examples=[
        ("strongroom token list", "all tokens, without their secrets"),
        ("strongroom token list --project acme", "those that are good for one project alone"),
    ],
)
async def list_(
    call: Call,
    project: Annotated[
        str, typer.Option("--project", metavar="PROJECT", help="Only those of this project.", show_default="all")
    ] = "",
) -> None:
    """List tokens, those that ended within the last three months included."""
    async with call.connect() as client:
        answer = await client.ask(control.TOKEN_LIST, control.TokenList(project=project))

    def draw(console: Console) -> None:
        if answer.tokens:
            _draw(console, answer.tokens)
        else:
            call.terminal.say("There are no tokens yet: `strongroom token create NAME --role ROLE` makes one.")

    call.terminal.result(answer, draw, items=answer.tokens)


@command(
    tokens,
    "revoke",
    examples=[("strongroom token revoke k3x7q2m5ab", "whoever holds it is let in no more; asks first")],
)
async def revoke(call: Call, id_: TokenArgument, yes: YesOption = False) -> None:
    """End a token, at once and for good; sessions that it began end too."""
    confirm(
        f"Revoke token {id_}?",
        yes=yes,
        doing=f"revoking token {id_}",
        facts="Whoever uses it is let in no more, from the next call on.",
    )
    async with call.connect() as client:
        answer = await client.ask(control.TOKEN_REVOKE, control.TokenRef(id=id_, actor=call.actor))
    call.terminal.result(answer, lambda console: console.print(f"Revoked token {answer.id} ({answer.name})"))


def _days(text: str) -> float | None:
    """Raises: InvalidInput."""
    if text == "never":
        return None
    try:
        return float(text)
    except ValueError:
        raise InvalidInput("input.invalid", f"--days {text!r} is neither a number nor never", field="days") from None


def _print_alone(console: Console, token: str) -> None:
    """On a line of its own, never broken, so that it can be piped and copied."""
    console.print(Text(token), soft_wrap=True)


def _draw(console: Console, views: Sequence[TokenView]) -> None:
    now = utc_now()
    print_table(
        console,
        [
            Column("ID"),
            Column("NAME", fold=True),
            Column("ROLE"),
            Column("PROJECT", rank=1),
            Column("STATE"),
            Column("ENDS", rank=2),
            Column("MADE (UTC)", rank=3),
            Column("BY", rank=4),
        ],
        [
            (
                Text(view.id, style="name"),
                view.name,
                str(view.role),
                view.project or Text("all", style="quiet"),
                Text(str(view.state), style=_STYLES[view.state]),
                ahead(view.expires_at, now) if view.expires_at and view.state is TokenState.ACTIVE else "",
                stamp(view.created_at),
                view.created_by,
            )
            for view in views
        ],
    )
