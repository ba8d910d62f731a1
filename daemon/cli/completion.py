"""`strongroom completion`: what a shell has to know to complete command lines of `strongroom`."""

from __future__ import annotations

import sys
from enum import StrEnum
from typing import Annotated, Final

import typer

from daemon.cli.command import Call, command
from daemon.cli.terminal import write

COMPLETE: Final = "__complete"
"""What the scripts call, with the words up to the cursor: a candidate on each line, a tab, and what it is."""
FILES: Final = ":files"
"""In place of candidates: names of files."""

_BASH: Final = r"""# bash completion of strongroom: add to ~/.bashrc
#   source <(strongroom completion bash)
_strongroom() {
    local line value
    COMPREPLY=()
    while IFS= read -r line; do
        value=${line%%$'\t'*}
        if [[ $value == :files ]]; then
            compopt -o filenames 2>/dev/null
            mapfile -t COMPREPLY < <(compgen -f -- "${COMP_WORDS[COMP_CWORD]}")
            return
        fi
        COMPREPLY+=("$value")
        if [[ $value == */ ]]; then compopt -o nospace 2>/dev/null; fi
    done < <("${COMP_WORDS[0]}" __complete "${COMP_WORDS[@]:1:COMP_CWORD}" 2>/dev/null)
}
complete -F _strongroom strongroom
"""
_ZSH: Final = r"""#compdef strongroom
# zsh completion of strongroom: add to ~/.zshrc, after compinit
#   source <(strongroom completion zsh)
_strongroom() {
    local -a whole partial
    local line value about
    for line in "${(@f)$("${words[1]}" __complete "${(@)words[2,CURRENT]}" 2>/dev/null)}"; do
        [[ -n $line ]] || continue
        if [[ $line == :files ]]; then _files; return; fi
        value=${line%%$'\t'*}
        about=${line#*$'\t'}
        if [[ $value == */ ]]; then partial+=("${value//:/\\:}:$about"); else whole+=("${value//:/\\:}:$about"); fi
    done
    local found=1
    if (( $#partial )); then _describe -V strongroom partial -S '' && found=0; fi
    if (( $#whole )); then _describe -V strongroom whole && found=0; fi
    return found
}
if [[ ${zsh_eval_context[-1]} == loadautofunc ]]; then _strongroom "$@"; else compdef _strongroom strongroom; fi
"""
_FISH: Final = r"""# fish completion of strongroom:
#   strongroom completion fish > ~/.config/fish/completions/strongroom.fish
function __strongroom_complete
    set -l words (commandline -opc) (commandline -ct)
    set -l found ($words[1] __complete $words[2..-1] 2>/dev/null)
    if test "$found[1]" = ":files"
        __fish_complete_path (commandline -ct)
        return
    end
    string join \n -- $found
end
complete -c strongroom -f -a '(__strongroom_complete)'
"""


class Shell(StrEnum):
    BASH = "bash"
    ZSH = "zsh"
    FISH = "fish"


_SCRIPTS: Final = {Shell.BASH: _BASH, Shell.ZSH: _ZSH, Shell.FISH: _FISH}


def add_to(app: typer.Typer) -> None:
    command(
        app,
        "completion",
        panel="Run",
        operator=False,
        examples=[
            ("source <(strongroom completion bash)", "in ~/.bashrc"),
            ("source <(strongroom completion zsh)", "in ~/.zshrc, after compinit"),
            ("strongroom completion fish > ~/.config/fish/completions/strongroom.fish", "once"),
        ],
    )(completion)


async def completion(
    call: Call,
    shell: Annotated[Shell, typer.Argument(metavar="bash|zsh|fish", help="The shell that it is for.", show_default=False)],
) -> None:
    """Print a script that lets a shell complete commands, options, projects, services, backups, nodes and tags.

    Names are asked of the coordinator; where it does not answer within a second, there are none."""
    del call  # a script is a script in every form of output
    write(sys.stdout, _SCRIPTS[shell].rstrip("\n"))
