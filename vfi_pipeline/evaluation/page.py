"""BENCHMARKS.md: sections that programs write, each between two marks, so that a new run replaces only its own."""

from __future__ import annotations

import os
import platform
import shlex
from collections.abc import Sequence
from datetime import datetime, timezone
from pathlib import Path

import torch

HEAD = """# Benchmarks

Every section below was written by the command that it names; run it again and the section is replaced.
"""


def write_section(page: Path, name: str, title: str, body: str, head: str = HEAD) -> None:
    """Writes ``body`` under ``title`` into ``page``, replacing the section ``name``, or at the end.

    Args:
        name: a word that stays the same from run to run; it is not shown.
        head: of a page that does not exist yet.
    """
    begin, end = f"<!-- {name}: begin -->", f"<!-- {name}: end -->"
    text_of_body = body.strip("\n").rstrip()  # a body may begin with an indented command
    section = f"{begin}\n## {title}\n\n{text_of_body}\n{end}\n"
    text = page.read_text(encoding="utf-8") if page.is_file() else head
    before, mark, rest = text.partition(begin)
    if mark and end in rest:
        text = before + section + rest.partition(end)[2].removeprefix("\n")
    else:
        text = text.rstrip("\n") + "\n\n" + section
    draft = page.with_name(page.name + ".part")
    draft.write_text(text, encoding="utf-8")
    os.replace(draft, page)


def circumstances(command: Sequence[str] | str) -> str:
    """The command, time, machine and versions of a section, as a paragraph."""
    words = command if isinstance(command, str) else shlex.join(command)
    when = datetime.now(timezone.utc).strftime("%Y-%m-%d %H:%M UTC")
    return f"`{words}`, {when}, {processor()}, {cores()} cores, {memory()}torch {torch.__version__}, " + (
        f"Python {platform.python_version()}."
    )


def processor() -> str:
    """Name of the processor."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        return next(line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


def cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def memory() -> str:
    """``"24 GB, "``, or an empty text where the system does not say."""
    try:
        return f"{os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES') / 1e9:.0f} GB, "
    except (ValueError, OSError, AttributeError):
        return ""


def load() -> float | None:
    """Mean number of runnable processes in the last minute; None where the system does not say."""
    return os.getloadavg()[0] if hasattr(os, "getloadavg") else None
