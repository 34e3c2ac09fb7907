"""The options as Markdown. ``python -m vfi_pipeline.jobs.option_docs`` rewrites the tables in docs/interpolate.md."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

from vfi_pipeline.errors import UserError
from vfi_pipeline.jobs.option_fields import Option, default_of, in_groups
from vfi_pipeline.jobs.option_table import TABLE

PAGE = Path(__file__).resolve().parents[2] / "docs" / "interpolate.md"
BEGIN = "<!-- options: begin; written by python -m vfi_pipeline.jobs.option_docs -->"
END = "<!-- options: end -->"


def options_section(table: Iterable[Option] = TABLE) -> str:
    """A heading and a Markdown table for each group of options."""
    parts = []
    for group, rows in in_groups(table).items():
        title = f"### {group.title.capitalize()}" + (f": {group.note}" if group.note else "")
        head = ["| option | default | for | what it does |", "|--|--|--|--|"]
        about = [_plain(" ".join(group.about)), ""] if group.about else []
        parts.append("\n".join([title, "", *about, *head, *map(_row, rows)]))
    return "\n\n".join(parts)


def with_section(page: str, section: str) -> str:
    """The text of a page with ``section`` between its marks.

    Raises:
        UserError: if the page lacks a mark.
    """
    before, begin, rest = page.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not (begin and end):
        raise UserError("The page has no place for the options.", f"a line {BEGIN} and a line {END}.")
    return f"{before}{BEGIN}\n\n{section}\n\n{END}{after}"


def _row(row: Option) -> str:
    typed = f"`{row.name}={row.example}`" if row.example else f"`{row.name}`"
    default = f"`{row.default}`" if row.default is not None else _plain(default_of(row))
    aliases = [f"`{alias}`" for alias in row.aliases]
    shorthands = [f"`--{word}`" + (f" ({value})" if word != value else "") for word, value in row.shorthands.items()]
    sentences = [
        _plain(row.line),
        row.details,
        f"Also {', '.join(aliases)}" if aliases else "",
        f"Short: {', '.join(shorthands)}" if shorthands else "",
    ]
    *before, last = [sentence for sentence in sentences if sentence]
    text = " ".join([*(each if each.endswith((".", ".)")) else f"{each}." for each in before), last.removesuffix(".")])
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in (typed, default, row.concerns, text)) + " |"


def _plain(text: str) -> str:
    """Text of the help as Markdown: words with ``=``, a brace or a bracket are code."""
    return re.sub(r"(?<![^\s(])([^\s(]*[={\[][^\s)]*?)(?=[,;:.)]*(?:\s|$))", r"`\1`", text)


def main() -> None:
    """Rewrites the page."""
    PAGE.write_text(with_section(PAGE.read_text(encoding="utf-8"), options_section()), encoding="utf-8")


if __name__ == "__main__":
    main()
