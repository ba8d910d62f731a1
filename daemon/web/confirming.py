"""Asking before something is done that cannot be undone: scripts ask in a dialog, and without them this page does."""

from __future__ import annotations

from litestar import Response

from daemon.web.forms import Form
from daemon.web.rendering import render
from daemon.web.visits import AnyRequest


def ask_first(request: AnyRequest, form: Form, question: str, *, text: str = "", yes: str, back: str) -> Response[str]:
    """The question on a page of its own; its answer is the same form once more, `confirmed`."""
    values = [(name, value) for name, values in form.values.items() for value in values]
    return render(request, "confirm.html", question=question, text=text, yes=yes, back=back, values=values)
