"""What a view prints where nobody looks at it, and where somebody does."""

from __future__ import annotations

import io
import re
from collections.abc import Callable

from rich.console import Console

from daemon.cli.terminal import THEME


def drawn(draw: Callable[[Console], None], *, width: int = 200, terminal: bool = False) -> str:
    """The text, without the marks of colours."""
    console = Console(file=io.StringIO(), width=width, force_terminal=terminal, theme=THEME, highlight=False, markup=False)
    draw(console)
    assert isinstance(console.file, io.StringIO)
    return re.sub(r"\x1b\[[0-9;]*m", "", console.file.getvalue())
