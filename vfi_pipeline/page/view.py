"""The page itself: its two tabs and the queue below them. Gradio is imported here and in the parts, nowhere else.

Every handler checks what it is given as if it came from a stranger, since any of them can be called without the page.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import gradio as gr

from vfi_pipeline.page.appearance import CSS
from vfi_pipeline.page.film_tab import film_tab
from vfi_pipeline.page.helper import Helper
from vfi_pipeline.page.parts import Films
from vfi_pipeline.page.pictures_tab import pictures_tab
from vfi_pipeline.page.queue import Queue
from vfi_pipeline.page.queue_part import queue_part
from vfi_pipeline.page.roots import Roots


def page(roots: Roots, queue: Queue, looker: Helper, converter: Helper, temporary: Path) -> gr.Blocks:
    """The page. ``looker`` makes previews, ``converter`` what takes longer; ``temporary`` holds what is shown."""
    films = Films(roots, queue, looker, converter, temporary)
    with gr.Blocks(title="vfi", analytics_enabled=False, delete_cache=(600, 3600)) as blocks:
        gr.HTML(
            "<h1>Frame interpolation</h1><p>More frames per second for films, and motion between pictures.</p>",
            elem_id="vfi-top",
        )
        changed = gr.State(0)  # counts what was added to the queue from this tab
        with gr.Tabs():
            with gr.Tab("Film"):
                film_tab(films, blocks, changed)
            with gr.Tab("Pictures"):
                pictures_tab(films, changed)
        queue_part(films, blocks, changed)
    return blocks


def mounted(app: Any, blocks: gr.Blocks, max_upload: int) -> Any:
    """``app`` with the page at ``/``: nothing is told to anyone, and no file is handed out but Gradio's own."""
    # Mounted, Gradio 6.31 takes itself for not launched, and then any file for uploaded. Guard refuses it as well.
    blocks.has_launched = True
    return gr.mount_gradio_app(
        app,
        blocks,
        "/",
        footer_links=[],
        run_history=False,
        allowed_paths=[],
        blocked_paths=[],
        show_error=False,
        max_file_size=max_upload,
        ssr_mode=False,
        enable_monitoring=False,
        pwa=False,
        mcp_server=False,
        theme=_theme(),
        css=CSS,
    )


def _theme() -> gr.themes.Base:
    """Gradio's own, with the system's fonts and more contrast."""
    return gr.themes.Default(
        primary_hue="blue",
        neutral_hue="slate",
        font=("system-ui", "-apple-system", "Segoe UI", "Roboto", "sans-serif"),
        font_mono=("ui-monospace", "Consolas", "monospace"),
        spacing_size="sm",
        radius_size="md",
    ).set(
        body_text_color_subdued="*neutral_600",
        body_text_color_subdued_dark="*neutral_300",
        button_primary_background_fill="*primary_600",
        button_primary_background_fill_hover="*primary_700",
        block_label_text_color="*neutral_700",
        block_label_text_color_dark="*neutral_200",
        block_title_text_color="*neutral_700",
        block_title_text_color_dark="*neutral_200",
    )
