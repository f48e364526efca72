"""`completions bash|zsh|fish`: the scripts that ask `spoolq __complete` and offer its answer."""

from __future__ import annotations

from typing import Annotated, Final

import typer

from spoolq.cli import options
from spoolq.cli.exits import USAGE, Refused
from spoolq.cli.output import print_json
from spoolq.selection import did_you_mean

_BASH: Final = r"""# Completion of spoolq in bash. For ~/.bashrc: eval "$(spoolq completions bash)"
_spoolq() {
    local line=${COMP_LINE:0:COMP_POINT} kind number value cut
    local -a words
    read -ra words <<<"$line"
    [[ $line == *[[:space:]] ]] && words+=("")
    local word=${words[-1]}
    # Bash takes what stands behind the last : or = for the word.
    cut=${word%"${word##*[:=]}"}
    COMPREPLY=()
    while IFS=$'\t' read -r value _; do
        if [[ -z $kind ]]; then
            read -r kind number <<<"$value"
            continue
        fi
        [[ $value == *: ]] && compopt -o nospace 2>/dev/null
        printf -v value %q "${value#"$cut"}"
        COMPREPLY+=("$value")
    done < <("${words[0]}" __complete "${words[@]:1}" 2>/dev/null)
    case $kind in
        files) compopt -o default 2>/dev/null ;;
        directories) compopt -o dirnames 2>/dev/null ;;
        command)
            local first=$((COMP_CWORD - (${#words[@]} - 1 - number)))
            if declare -F _command_offset >/dev/null; then
                _command_offset "$first"
            elif ((first == COMP_CWORD)); then
                mapfile -t COMPREPLY < <(compgen -c -- "$word")
            else
                compopt -o default 2>/dev/null
            fi
            ;;
    esac
}
complete -F _spoolq spoolq
"""

_ZSH: Final = r"""#compdef spoolq
# Completion of spoolq in zsh. Save as _spoolq in a directory of $fpath, or put into ~/.zshrc,
# behind compinit: eval "$(spoolq completions zsh)"
_spoolq() {
    local -a lines values shown
    local line value about first
    lines=("${(@f)$($words[1] __complete "${(@Q)words[2,CURRENT-1]}" "${(Q)PREFIX}" 2>/dev/null)}")
    case $lines[1] in
        files) _files ;;
        directories) _files -/ ;;
        command*)
            first=${lines[1]#command }
            shift $first words
            ((CURRENT -= first))
            _normal
            ;;
        values)
            for line in "${(@)lines[2,-1]}"; do
                value=${line%%$'\t'*}
                about=${line#*$'\t'}
                [[ $line == *$'\t'* ]] && about="$value  -- $about"
                if [[ $value == *: ]]; then
                    compadd -S '' -- "$value"
                else
                    values+=("$value")
                    shown+=("$about")
                fi
            done
            compadd -l -d shown -a -- values
            ;;
    esac
}
if [[ $zsh_eval_context[-1] == loadautofunc ]]; then
    _spoolq "$@"
else
    compdef _spoolq spoolq
fi
"""

_FISH: Final = r"""# Completion of spoolq in fish. Save as ~/.config/fish/completions/spoolq.fish
function __spoolq_complete
    set -l words (commandline -opc) (commandline -ct)
    set -l lines (command $words[1] __complete $words[2..-1] 2>/dev/null)
    set -l kind (string split ' ' -- $lines[1])
    switch "$kind[1]"
        case values
            printf '%s\n' $lines[2..-1]
        case files
            __fish_complete_path (commandline -ct)
        case directories
            __fish_complete_directories (commandline -ct)
        case command
            set -l first (math $kind[2] + 1)
            complete -C (string join ' ' -- $words[$first..-1])
    end
end
complete -c spoolq -f -a '(__spoolq_complete)'
"""

SCRIPTS: Final = {"bash": _BASH, "zsh": _ZSH, "fish": _FISH}


def add_to(app: typer.Typer) -> None:
    """Register these commands."""
    app.command()(completions)


def completions(
    shell: Annotated[str, typer.Argument(metavar="bash|zsh|fish")],
    as_json: options.AsJson = False,
) -> None:
    """Print what makes a shell complete verbs, options, ids, queues and tasks.

    bash: eval "$(spoolq completions bash)" in ~/.bashrc; the scripts say where they belong.
    """
    if shell not in SCRIPTS:
        known = did_you_mean(shell, SCRIPTS) or f" (known: {', '.join(SCRIPTS)})"
        raise Refused(USAGE, f"there is no completion for {shell!r}{known}")
    if as_json:
        print_json({"shell": shell, "script": SCRIPTS[shell]})
    else:
        print(SCRIPTS[shell], end="")
