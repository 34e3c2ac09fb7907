"""Completion of the command in a shell, made of the option table. Pure."""

from __future__ import annotations

import shlex
from collections.abc import Collection, Iterable, Mapping

from vfi_pipeline.jobs import values
from vfi_pipeline.jobs.option_fields import Option
from vfi_pipeline.jobs.option_table import COMPLETION, TABLE

# Bash cuts words at the characters of COMP_WORDBREAKS. Where "=" is one of them (it is unless the user took it out), a
# suggestion replaces what stands behind it; elsewhere it replaces the whole word. No mapfile: macOS has bash 3.2.
_BASH = """\
# Completion of interpolate.py and vfi in bash. In ~/.bashrc: eval "$(python interpolate.py --completion bash)", or
# eval "$(vfi interpolate --completion bash)".
_vfi_interpolate() {{
    local line="${{COMP_LINE:0:COMP_POINT}}" word rest previous key="" typed="" prefix="" values="" files=""
    COMPREPLY=()
    if [[ "$line" =~ ^[^[:space:]]*vfi[[:space:]]+[^[:space:]]*$ ]]; then
        while IFS= read -r word; do
            COMPREPLY+=("$word")
        done < <(compgen -W {commands} -- "${{line##*[[:space:]]}}")
        return 0
    fi
    [[ "$line" == *interpolate.py[[:space:]]* || "$line" =~ ^[^[:space:]]*vfi[[:space:]]+interpolate[[:space:]] ]] \
        || return 0  # another program of python's, or another command: file names
    word="${{line##*[[:space:]]}}"
    rest="${{line%"$word"}}"
    rest="${{rest%"${{rest##*[![:space:]]}}"}}"
    previous="${{rest##*[[:space:]]}}"
    if [[ "$word" == *=* ]]; then
        key="${{word%%=*}}"
        typed="${{word#*=}}"
        [[ "$COMP_WORDBREAKS" == *=* ]] || prefix="$key="
    elif [[ "$previous" == --?* && "$previous" != *=* ]]; then
        key="$previous"
        typed="$word"
    fi
    key="${{key#--}}"
    key="${{key//-/_}}"
    if [[ "$word" != *=* ]]; then
        case "$key" in
            no_*|{switches}) key="" ;;
        esac
    fi
    case "$key" in
        "")
            typed="$word"
            files=yes
            values={names}
            [[ "$word" == -* ]] && values={dashed}
            ;;
        {files}) files=yes ;;
{cases}
    esac
    local suggestion
    while IFS= read -r suggestion; do
        COMPREPLY+=("$prefix$suggestion")
    done < <(compgen -W "$values" -- "$typed")
    [[ ${{#COMPREPLY[@]}} -eq 1 && "${{COMPREPLY[0]}}" == *[[:alnum:]]= ]] && compopt -o nospace 2>/dev/null
    [[ -n "$files" ]] || return 0
    [[ ${{#COMPREPLY[@]}} -eq 0 && -z "$prefix" ]] && compopt -o filenames 2>/dev/null  # else bash would quote the "="
    while IFS= read -r suggestion; do
        COMPREPLY+=("$prefix$suggestion")
    done < <(compgen -f -- "$typed")
    return 0
}}
complete -o default -F _vfi_interpolate interpolate.py vfi python python3
"""


def script(
    shell: str,
    groups: Mapping[str, Collection[str]],
    table: Iterable[Option] = TABLE,
    commands: Collection[str] = ("interpolate",),
) -> str:
    """The script that a shell reads to complete options, their values, and names of files.

    Args:
        groups: group -> names of its choices (``model`` -> ``fit``, ``blend``...).
        commands: the subcommands of ``vfi``.

    Raises:
        UserError: if there is none for that shell.
    """
    values.choice("completion", shell, COMPLETION.kind.words)
    rows = tuple(table)
    switches = [row for row in rows if row.kind.switch]
    alike: dict[tuple[tuple[str, ...], bool], list[str]] = {}
    for row in rows:
        if words := tuple(groups.get(row.name, row.kind.words)):
            alike.setdefault((words, row.kind.file), []).append(row.name)
    return _BASH.format(
        commands=shlex.quote(" ".join(commands)),
        files="|".join(row.name for row in rows if row.kind.file and not row.kind.words),
        cases="\n".join(
            f"        {'|'.join(keys)}) values={shlex.quote(' '.join(words))}{' files=yes' if file else ''} ;;"
            for (words, file), keys in alike.items()
        ),
        switches="|".join(row.name for row in switches),
        names=shlex.quote(" ".join(f"{row.name}=" if row.example else row.name for row in rows)),
        dashed=shlex.quote(
            " ".join(
                ["--help", *(f"--{_dashed(row)}" for row in rows)]
                + [f"--no-{_dashed(row)}" for row in switches if row.default not in (None, "false")]
            )
        ),
    )


def _dashed(row: Option) -> str:
    return row.name.replace("_", "-")
