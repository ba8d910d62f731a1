"""Quotas as the command line spells them."""

from __future__ import annotations

from typing import Annotated

import typer

from contracts.policy.quota_plan import QuotaPlan, quota_of
from daemon.cli.sizes import limit_size, parse_size

_PLANS = ", ".join(f"{plan} ({limit_size(quota_of(plan))})" for plan in QuotaPlan if plan is not QuotaPlan.CUSTOM)

PlanOption = Annotated[
    QuotaPlan | None,
    typer.Option(
        "--plan",
        metavar="lightweight|serious|custom",
        help=f"How much it may store: {_PLANS}, or custom: as much as --quota says.",
        show_default=False,
    ),
]
QuotaOption = Annotated[
    str | None,
    typer.Option(
        "--quota",
        metavar="SIZE",
        help="The most that all its backups may take, such as 200GB; 1 TiB at most, and without it.",
        show_default=False,
    ),
]


def chosen_quota(plan: QuotaPlan | None, quota: str | None) -> tuple[QuotaPlan, int | None]:
    """The plan and, for a custom one, the bytes if they were named.  A quota without a plan is a custom one.

    Raises: InvalidInput naming the field.
    """
    chosen = plan or QuotaPlan.CUSTOM
    quota_bytes = parse_size(quota, "quota") if quota is not None else None
    quota_of(chosen, quota_bytes)
    return chosen, quota_bytes
