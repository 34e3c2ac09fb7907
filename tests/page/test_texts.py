"""Names, tags and messages come from strangers: whatever they hold, they are text on the page."""

from __future__ import annotations

from html.parser import HTMLParser

import pytest

from vfi_pipeline.errors import UserError
from vfi_pipeline.page import texts
from vfi_pipeline.page.facts import Cut, Look, Preview
from vfi_pipeline.page.progress import HowFar
from vfi_pipeline.page.queue import DONE, FAILED, WORKING, Job

HOSTILE = "<img src=x onerror=alert(1)>\"'><script>alert(1)</script>&lt;b&gt;\n\u202e"

OWN = {
    "div", "span", "table", "tr", "th", "td", "ul", "li", "h3", "strong", "a", "video", "img", "pre", "figure",
    "figcaption", "tbody",
}  # fmt: skip


class Reader(HTMLParser):
    """Collects tags, attributes and text."""

    def __init__(self, source: str) -> None:
        super().__init__(convert_charrefs=True)
        self.tags, self.attributes, self.text = [], [], ""
        self.feed(source)

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += [name for name, _ in attrs]

    def handle_data(self, data):
        self.text += data


LOOK = Look(
    path=HOSTILE, label=HOSTILE, lines=(("output", f"{HOSTILE}: libx264 yuv420p crf 16, 60 fps"),), kept=(HOSTILE,),
    lost=(HOSTILE + "x",), notes=(HOSTILE + "y",), target=f"/films/{HOSTILE}", width=64, height=48, source_frames=10,
    source_rate=24000 / 1001, duration_s=75.0, frames=1234, made=617, disk_bytes=10**9, free_bytes=10**8, first_s=0.0,
    end_s=75.0,
)  # fmt: skip
JOB = Job(3, HOSTILE, (f"input={HOSTILE}",), f"/films/{HOSTILE}", FAILED, problem=f"{HOSTILE}\nTry: {HOSTILE}")


@pytest.mark.parametrize(
    "made",
    [
        texts.facts(LOOK, 0.5), texts.error(UserError(HOSTILE, HOSTILE)), texts.note(HOSTILE), texts.line(HOSTILE),
        texts.empty(HOSTILE, HOSTILE), texts.job_row(JOB, HowFar(3, 10, 3, 5.0, HOSTILE)),
        texts.download(Job(3, HOSTILE, (), "", DONE), f"/films/{HOSTILE}"), texts.log(JOB, f"told\n{HOSTILE}"),
        texts.player(JOB, f"/films/a.{HOSTILE}", True), texts.player(JOB, "/films/a.gif", True),
        texts.thumbnails([(HOSTILE, b"jpeg")]),
    ],
    ids=range(11),
)  # fmt: skip
def test_hostile_text_stays_text(made):
    read = Reader(made)

    assert set(read.tags) <= OWN and "script" not in read.tags
    assert not {name for name in read.attributes if name.startswith("on")}
    assert read.tags.count("img") <= 1 and "\u202e" not in made


def test_what_is_shown_is_the_name_itself():
    assert "<img src=x onerror=alert(1)>\"'>" in Reader(texts.note(HOSTILE)).text


def test_the_plan_says_what_is_made_kept_and_lost():
    text = Reader(texts.facts(LOOK, 0.5)).text

    assert "64 x 48, 23.976 frames per second, 0:01:15" in text
    assert "1,234 in all, 617 of them made" in text
    assert "about 5 min on this machine" in text  # 617 x 0.5 s
    assert "too little" in text
    made = texts.facts(LOOK, 0.5)
    assert made.count('class="vfi-kept"') == 1 and made.count('class="vfi-lost"') == 1


@pytest.mark.parametrize(
    ("made", "frame_s", "words"),
    [(10, None, "being measured"), (0, None, "nothing has to be made"), (10, 0.01, "about 1 s"),
     (100, 0.5, "about 50 s"), (7200, 1.0, "about 2.0 h")],
)  # fmt: skip
def test_times_are_estimated_roughly(made, frame_s, words):
    assert words in texts.work_time(made, frame_s)


def test_a_preview_says_what_is_left_and_right():
    made = Preview("a", "b", 12.5, 299, 0.4, "made", (0.5, 0.5))

    assert "12.500 s" in texts.preview_line(
        made
    ) and "40 % of the way from source frame 299 to 300" in texts.preview_line(made)
    assert "held" in texts.preview_line(Preview("a", "b", 1.0, 2, 0.4, "held", (0.5, 0.5)))


def test_a_preview_of_other_settings_says_which_ones():
    line = texts.stale_preview_line("<60> fps")
    assert "made for other settings (&lt;60&gt; fps)" in line and "Press Preview" in line and 'role="status"' in line


def test_cuts_are_pictures_with_words_for_those_who_cannot_see_them():
    cut = Cut(1501, 62.5, b"one", b"two")

    assert texts.cut_label(cut) == "1:02.50 (frame 1501)"
    assert texts.cut_pair(cut).count(
        "data:image/jpeg;base64,"
    ) == 2 and 'alt="before the cut at 62.50 s"' in texts.cut_pair(cut)


def test_an_error_is_its_two_lines_and_announced():
    made = texts.error(UserError("a.mp4 is gone.", "put it back."))

    assert 'role="alert"' in made and Reader(made).text == "a.mp4 is gone.Try: put it back."


def test_progress_can_be_read_aloud():
    row = texts.job_row(Job(1, "a", (), "", WORKING), HowFar(25, 100, 0, 30.0))

    assert 'role="progressbar"' in row and 'aria-valuenow="25.0"' in row and "0:00:30 left" in row


def test_only_finished_jobs_have_a_download():
    assert texts.download(Job(1, "a", (), "", WORKING), "/x") == ""


def test_the_command_can_be_typed_as_it_is_shown():
    import shlex

    job = Job(1, "a", ("input=/films/$(touch x) 'a'.mp4", "fps=60"), "")
    shown = Reader(texts.log(job, "")).text.split("terminal")[1]

    assert shlex.split(shown) == ["python", "interpolate.py", *job.words]
