"""What ``python interpolate.py --help`` says, made of the option table. Pure."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable

from vfi_pipeline.jobs.option_fields import Option, default_of, in_groups
from vfi_pipeline.jobs.option_kinds import SWITCH
from vfi_pipeline.jobs.option_table import TABLE

HEAD = """\
Raise the frame rate of a film: new frames between the old ones, same length, same sound.

  python interpolate.py input=clip.mp4 fps=60

The film is written beside the input as clip_60fps.mp4, checked, and only then given its name. If the work is stopped
(Ctrl-C, a crash, a power cut), the same command goes on where it was. Options may also be typed as --fps 60.
"""

TAIL = """\
EXAMPLES
  python interpolate.py input=film.mkv fps=60000/1001 codec=hevc crf=18
  python interpolate.py input=clip.mp4 slowmo=4 audio=stretch output=slow/
  python interpolate.py input=anime.mkv fps=60 dedup=on
  python interpolate.py input=film.mp4 fps=60 style=mosaic
  python interpolate.py input=renders/ input_fps=24 fps=60 output=smooth/%05d.png
  python interpolate.py a.mp4 b.mp4 c.mp4 --multi 2 --output done/
  python interpolate.py input=[a.jpg,b.jpg] duration=2 output=morph.mp4
  python interpolate.py input=portraits/ duration=8 loop=true easing=smooth output=all.gif fps=20
  python interpolate.py input=face.png weights=smile_gan.safetensors duration=2 sheet=smile.png
  python interpolate.py input=[a.png,b.png] t=0.37 output=between.png
  python interpolate.py input=face.png model=dfi sources=neutral/ targets=smiling/ strength=0.4 duration=2
  python interpolate.py input=face.png exemplars=portraits/ output=lit.png

Exit codes: 0 done and verified, 2 wrong option, 3 bad input, 4 output or machine, 130 interrupted.
More: docs/interpolate.md, docs/pictures.md, docs/style.md, docs/faces.md,
docs/single-picture.md
"""

WIDTH = 119
COLUMN = 20
"""Where the explanations begin."""


def help_text(table: Iterable[Option] = TABLE) -> str:
    """The help: every option by group, between a head and examples."""
    parts = [HEAD]
    for group, rows in in_groups(table).items():
        title = f"{group.title} ({group.note})" if group.note else group.title
        parts.append("\n".join([title, *(f"  {line}" for line in group.about), *map(_entry, rows)]) + "\n")
    return "\n".join([*parts, TAIL])


def _entry(row: Option) -> str:
    """An option, what it does, and what holds without it where the example shows something else."""
    left = f"  {row.name}={row.example}" if row.example else f"  {row.name}"
    default = default_of(row)
    obvious = default in ("", row.example) or (row.kind.switch and row.kind.words[:2] == SWITCH.words)
    lines = textwrap.wrap(
        row.line if obvious else f"{row.line} (default: {default})",
        WIDTH - COLUMN, break_long_words=False, break_on_hyphens=False,
    )  # fmt: skip
    if len(left) + 2 > COLUMN:
        lines.insert(0, left)
    else:
        lines[0] = left.ljust(COLUMN) + lines[0]
    return ("\n" + " " * COLUMN).join(lines)


HELP = help_text()
