"""The page in a browser: ``vfi app --root FOLDER`` (docs/page.md)."""

from __future__ import annotations

from collections.abc import Sequence

from vfi_pipeline.extras import require
from vfi_pipeline.threads import yield_idle_cores


def main(argv: Sequence[str] | None = None, program: Sequence[str] = ("vfi", "app")) -> int:
    """The command; returns its exit code. ``program`` is how it was called: the page names itself as ``vfi app``."""
    yield_idle_cores()
    require("app", "The page", "gradio")
    from vfi_pipeline.page.command import main as page

    return page(argv)
