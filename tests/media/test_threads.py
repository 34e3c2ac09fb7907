"""Threads that start, end, and fail to start."""

from __future__ import annotations

import _thread
import threading

import pytest

from vfi_pipeline.media.threads import start_thread


def test_the_event_tells_the_end():
    go, seen = threading.Event(), []

    def work(word):
        go.wait(10)
        seen.append(word)

    ended = start_thread(work, "done")
    assert not ended.is_set()
    go.set()
    assert ended.wait(10) and seen == ["done"]


def test_an_error_ends_the_thread_too(monkeypatch):
    monkeypatch.setattr("sys.unraisablehook", lambda _: None)
    assert start_thread(lambda: 1 / 0).wait(10)


def test_a_thread_that_dies_before_its_first_line_is_told(monkeypatch):
    """As CPython's own start does for want of memory: the function is dropped, not called."""
    monkeypatch.setattr(_thread, "start_new_thread", lambda run, args: None)
    with pytest.raises(MemoryError, match="can't start new thread"):
        start_thread(print)
