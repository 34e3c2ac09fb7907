"""Progress for people: a live line on a terminal, a plain line every few seconds in a log file or CI."""

from __future__ import annotations

import shutil
import sys
import time
from collections import deque
from collections.abc import Callable
from typing import TextIO

from vfi_pipeline.jobs.values import clock_text

_LIVE_S, _PLAIN_S, _WINDOW_S = 0.2, 5.0, 60.0


class Progress:
    """Counts output frames of one film and tells how far it is.

    The rate and the time left are taken over the last minute, so that they follow the film and the machine.
    """

    def __init__(
        self,
        label: str,
        total: int,
        done: int = 0,
        stream: TextIO | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """``total`` and ``done`` are output frames; ``done`` were finished by an earlier run."""
        self.label, self.total, self.done, self.made = label, total, done, 0
        self._done_before = done
        self._stream = stream or sys.stderr
        self._live = self._stream.isatty()
        self._clock = clock
        self._shown = self._started = clock()
        self._marks: deque[tuple[float, int, int]] = deque([(self._started, done, 0)])
        self._width = 0
        self._note = ""

    def add(self, made: bool) -> None:
        """One more output frame is finished; ``made`` if it was interpolated, not copied."""
        self.at(self.done + 1, self.made + made)

    def at(self, done: int, made: int, note: str = "") -> None:
        """So many output frames are finished, and so many were made by this run; ``note`` ends the line.

        Both may be less than they were: what a lost worker had begun is made again.
        """
        self.done, self.made, self._note = done, made, note
        now = self._clock()
        if now - self._shown >= (_LIVE_S if self._live else _PLAIN_S):
            self._shown = now
            self._marks.append((now, self.done, self.made))
            while now - self._marks[0][0] > _WINDOW_S and len(self._marks) > 2:
                self._marks.popleft()
            self._show(self.text())

    def text(self) -> str:
        """The line as it stands: done of total, made frames per second, time left."""
        now = self._clock()
        then, done, made = self._marks[0]
        elapsed = max(1e-6, now - then)
        share = 100 * self.done / max(1, self.total)
        text = (
            f"{self.label}: {self.done}/{self.total} frames ({share:.0f} %), {(self.made - made) / elapsed:.2f} made/s"
        )
        if self.done > done:
            text += f", {clock_text((self.total - self.done) * elapsed / (self.done - done))} left"
        return f"{text}, {self._note}" if self._note else text

    @property
    def elapsed(self) -> float:
        """Seconds since the start of this run."""
        return max(1e-6, self._clock() - self._started)

    @property
    def made_per_second(self) -> float:
        """Made frames per second since the start of this run."""
        return self.made / self.elapsed

    def say(self, text: str) -> None:
        """A line of its own above the live line."""
        self.clear()
        self._stream.write(text + "\n")
        self._stream.flush()

    def passing(self, text: str, share: float, ahead: float = 0.0) -> None:
        """What goes on before the next frame, and which share of that is done: for steps that take their time.

        ``ahead``: so many frames come of the step, and it takes most of their time; they count as it goes.
        """
        now = self._clock()
        if now - self._shown < (_LIVE_S if self._live else _PLAIN_S):
            return
        self._shown = now
        text = f"{self.label}: {self.done}/{self.total} frames, {text} ({100 * share:.0f} %)"
        elapsed = now - self._started
        gained = self.done - self._done_before + share * ahead
        reached = self.done + share * ahead
        if gained > 0 and elapsed > 0:
            text += f", {clock_text(max(0.0, self.total - reached) * elapsed / gained)} left"
        self._show(text, min(1.0, reached / max(1, self.total)))

    def clear(self) -> None:
        """Takes the live line off the screen."""
        if self._width:
            self._stream.write("\r" + " " * self._width + "\r")
            self._width = 0

    def _show(self, text: str, share: float | None = None) -> None:
        if not self._live:
            self._stream.write(text + "\n")
        else:
            columns = shutil.get_terminal_size().columns - 1
            width = min(columns, 24)
            share = self.done / max(1, self.total) if share is None else share
            filled = round(width * share) if columns > len(text) + width + 3 else 0
            bar = f"[{'#' * filled}{'.' * (width - filled)}] " if filled or columns > len(text) + width + 3 else ""
            text = (bar + text)[:columns]
            self._stream.write("\r" + text + " " * max(0, self._width - len(text)))
            self._width = len(text)
        self._stream.flush()
