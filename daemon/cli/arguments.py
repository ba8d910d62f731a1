"""Arguments and options that several commands take."""

from __future__ import annotations

from typing import Annotated

import typer

from contracts.records import RunState

BackupArgument = Annotated[
    str, typer.Argument(metavar="BACKUP", help="PROJECT/SERVICE/ID, or PROJECT/SERVICE/latest.", show_default=False)
]
RestoreArgument = Annotated[
    str,
    typer.Argument(
        metavar="RESTORE",
        help="PROJECT/SERVICE/ID of the service whose backup is restored, or PROJECT/SERVICE/latest.",
        show_default=False,
    ),
]
ServiceArgument = Annotated[
    str, typer.Argument(metavar="SERVICE", help="PROJECT/SERVICE, such as acme/orders.", show_default=False)
]
ScopeArgument = Annotated[
    str, typer.Argument(metavar="PROJECT[/SERVICE]", help="Only of this project or service.", show_default=False)
]
ProjectArgument = Annotated[str, typer.Argument(metavar="PROJECT", help="The project's name.", show_default=False)]
NodeArgument = Annotated[str, typer.Argument(metavar="NODE", help="The node's name.", show_default=False)]
LimitOption = Annotated[int, typer.Option("--limit", "-n", min=1, max=1_000_000, metavar="N", help="The newest N.")]
StateOption = Annotated[
    list[RunState] | None,
    typer.Option(
        "--state",
        metavar="STATE",
        help=f"Only those that are {', '.join(RunState)}. May be repeated.",
        show_default=False,
    ),
]
NoWaitOption = Annotated[
    bool, typer.Option("--no-wait", help="Print the id and return; the run goes on.", show_default=False)
]
YesOption = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.", show_default=False)]
