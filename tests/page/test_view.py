"""How the page's events are tied together."""

from __future__ import annotations

import pytest

pytest.importorskip("gradio")

from vfi_pipeline.page import view  # only where Gradio is installed
from vfi_pipeline.page.queue import Queue
from vfi_pipeline.page.roots import Roots

LABELS = {
    "Amount",
    "Unit",
    "Motion",
    "Codec",
    "Size",
    "From",
    "To",
    "Film",
    "Seconds",
    "Frames/s",
    "Rest at every picture",
}


def test_no_change_of_a_control_is_dropped_while_the_one_before_is_worked_on(tmp_path):
    """Gradio drops an event whose former run has not ended, and every one that would follow it, unless told not to."""
    config = view.page(Roots([tmp_path]), Queue(tmp_path / "queue"), None, None, tmp_path).config
    labels = {part["id"]: part["props"].get("label") for part in config["components"]}
    events = {event["id"]: event for event in config["dependencies"]}
    seen, dropped = set(), []
    for event in events.values():
        changes = {labels.get(of) for of, name in event["targets"] if name in ("input", "submit", "blur", "release")}
        if not changes & (LABELS | {"What to make", "Moment, seconds", "Where", "How much"}):
            continue
        chain = [event]
        while chain:
            one = chain.pop()
            dropped += [one["api_name"]] if one["trigger_mode"] == "once" else []
            chain += [other for other in events.values() if other["trigger_after"] == one["id"]]
        seen |= changes
    assert seen >= LABELS and not dropped
    uploads = [event for event in events.values() if any(name == "upload" for _, name in event["targets"])]
    assert len(uploads) == 2 and {event["trigger_mode"] for event in uploads} == {"multiple"}
