"""Progress on a terminal and in a log file, with a clock that stands still until told."""

from __future__ import annotations

import io

from vfi_pipeline.jobs.progress import Progress


class Terminal(io.StringIO):
    def isatty(self):
        return True


def run(stream, seconds, frames, total, done=0):
    now = [0.0]
    progress = Progress("clip.mp4", total, done, stream, lambda: now[0])
    for n in range(frames):
        now[0] += seconds / frames
        progress.add(made=n % 2 == 1)
    return progress


def test_a_log_file_gets_a_plain_line_every_few_seconds():
    stream = io.StringIO()
    progress = run(stream, 80, 640, 1280)
    lines = stream.getvalue().splitlines()
    assert len(lines) == 16
    assert "\r" not in stream.getvalue()
    assert lines[-1].startswith("clip.mp4: 640/1280 frames (50 %), 4.00 made/s, 0:01:20 left")
    assert progress.made == 320 and abs(progress.made_per_second - 4) < 1e-6


def test_a_terminal_gets_one_line_that_is_rewritten():
    stream = Terminal()
    progress = run(stream, 10, 100, 200)
    assert "\n" not in stream.getvalue()
    assert stream.getvalue().count("\r") > 20
    progress.say("a line")
    assert stream.getvalue().endswith("\ra line\n")


def test_the_time_left_counts_only_this_run():
    stream = io.StringIO()
    run(stream, 20, 160, 1120, done=800)
    assert "960/1120 frames (86 %)" in stream.getvalue().splitlines()[-1]
    assert "0:00:20 left" in stream.getvalue().splitlines()[-1]


def test_steps_that_take_their_time_say_how_far_the_whole_is():
    """Three gaps of 60 frames, each solved in 60 s before its frames come at once: half-way in time, half is done."""
    stream, now = io.StringIO(), [0.0]
    progress = Progress("out.mp4", 180, 0, stream, lambda: now[0])
    for gap in range(2):
        for second in range(0, 61, 10):
            now[0] = 60 * gap + second
            progress.passing(f"solving {gap + 1} of 3, a.png to b.png", second / 60, 60)
        for _ in range(60):
            progress.add(made=True)
    line = next(line for line in stream.getvalue().splitlines() if "2 of 3" in line and "(50 %)" in line)

    assert line == "out.mp4: 60/180 frames, solving 2 of 3, a.png to b.png (50 %), 0:01:30 left"


def test_a_resumed_animation_counts_only_this_run():
    stream, now = io.StringIO(), [0.0]
    progress = Progress("out.mp4", 180, 120, stream, lambda: now[0])
    now[0] = 30.0
    progress.passing("solving 3 of 3, a.png to b.png", 0.5, 60)

    assert stream.getvalue().strip().endswith("0:00:30 left")
