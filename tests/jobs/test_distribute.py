"""The head of a job, with workers that are threads: they speak through the session's folder as real ones do."""

from __future__ import annotations

import json
import threading
import time
from pathlib import Path
from types import SimpleNamespace

import pytest

from vfi_pipeline.errors import ENVIRONMENT, UserError
from vfi_pipeline.jobs import distribute
from vfi_pipeline.jobs.plan import Segment
from vfi_pipeline.jobs.progress import Progress
from vfi_pipeline.jobs.scheduler import Limits
from vfi_pipeline.jobs.segment_task import SegmentTask
from vfi_pipeline.jobs.session import FAILED, FINISHED, IDLE, REFUSED, WORKING, Order, Problem, Session, State, write
from vfi_pipeline.media.codecs import default_threads
from vfi_pipeline.media.encoding import Encoding, with_threads
from vfi_pipeline.media.writer import segment_name

ENCODING = Encoding("ffv1", "ffv1", "yuv420p")
STATISTICS = {
    "source_frames": 3, "copied": 1, "held": 0, "made": 1, "pairs": 1, "nfe": 0, "min_det": 1.0, "folded": 0.0,
    "confidence": 1.0, "cuts": [], "cut_times": [], "duplicates": [], "uncertain": [], "seconds": {"read": 0.5},
}  # fmt: skip


class Actor(threading.Thread):
    """A worker that does as ``act(order)`` says: ``make``, ``fail``, ``hang``, ``vanish`` (says no more), ``die``."""

    def __init__(self, session: Path, name: str, act) -> None:
        super().__init__(daemon=True)
        self.session, self.id, self.act = Session(session), name, act
        self.state, self.over = State(who=f"pid 0 on {name}"), False
        self.made: list[int] = []

    def say(self, **changes) -> None:
        self.state = State(**{**vars(self.state), **changes, "beat": self.state.beat + 1})
        write(self.session.desk(self.id) / "state.json", self.state)

    def run(self) -> None:
        try:
            self.session.desk(self.id).mkdir()
            self.work()
        except FileNotFoundError:
            pass  # the session is over
        self.over = True

    def work(self) -> None:
        self.say(phase=IDLE)
        serial = 0
        while not self.over:
            order = self.session.order(self.id) or Order()
            if order.stop:
                return
            if order.serial > serial:
                serial = order.serial
                if order.segment is None:
                    self.say(phase=IDLE, serial=serial)
                    continue
                what = self.act(self.id, order.segment)
                self.say(phase=WORKING, serial=serial, frames=0, made=0)
                if what == "die":
                    return
                if what == "vanish":
                    while not (self.session.order(self.id) or Order()).stop:
                        time.sleep(0.01)
                    return
                if what == "fail":
                    self.say(phase=FAILED, problem=Problem("It broke.", "mend it.", ENVIRONMENT))
                elif what == "starve":
                    self.say(phase=FAILED, problem=Problem("No room.", "more.", ENVIRONMENT, memory=True))
                elif what == "refuse":
                    self.say(phase=REFUSED, problem=Problem("tool: 1 -> 2.", "one version.", ENVIRONMENT))
                    return
                elif what == "make":
                    (self.session.desk(self.id) / segment_name(ENCODING, order.segment)).write_text(self.id)
                    self.made.append(order.segment)
                    self.say(phase=FINISHED, frames=2, made=1, statistics=STATISTICS)
            self.say()
            time.sleep(0.005)


class Threads:
    """An executor of ``Actor``s."""

    poll_s, patience_s = 0.01, 0.4

    def __init__(self, workers: int, act) -> None:
        self.workers, self._act = workers, act
        self.actors: dict[str, Actor] = {}
        self._running: set[str] = set()

    def start(self, session, names) -> None:
        for name in names:
            self.actors[name] = Actor(session, name, self._act)
            self.actors[name].start()
            self._running.add(name)

    def ended(self) -> dict[str, str]:
        found = {name: "exit status 9" for name in self._running if self.actors[name].over}
        self._running -= found.keys()
        return found

    def stop(self) -> None:
        for actor in self.actors.values():
            actor.over = True


@pytest.fixture
def make(tmp_path, monkeypatch):
    """``make(segments, workers, act)`` runs the head; gives (executor, segment -> times recorded, who made it)."""
    monkeypatch.setattr(distribute, "job_of", lambda *_: {})
    monkeypatch.setattr(distribute, "ENDING_S", 0.5)

    def make(count: int, workers: int, act, limits: Limits | None = None):
        executor = Threads(workers, act)
        recorded: list[int] = []
        todo = [Segment(n, 2 * n, 2 * n + 2, n, n + 1) for n in range(count)]

        def finished(segment, frames, statistics):
            assert (tmp_path / segment_name(ENCODING, segment.number)).is_file()
            assert frames == 2 and statistics.made == 1 and statistics.seconds == {"read": 0.5}
            recorded.append(segment.number)

        head = distribute.Head(lambda: executor, None, {}, tmp_path, limits)
        plan = SimpleNamespace(encoding=ENCODING)
        make.executor, make.recorded = executor, recorded
        with open(tmp_path / "progress.txt", "w") as said:
            progress = Progress("film", 2 * count, stream=said)
            head(SegmentTask(plan, None, None, todo, None, finished, progress))
        return executor, recorded

    yield make
    assert not list(tmp_path.glob("session-*"))


def test_every_segment_is_recorded_once_and_lies_in_its_place(make, tmp_path):
    executor, recorded = make(20, 3, lambda *_: "make")

    assert sorted(recorded) == list(range(20))
    made_by = [(tmp_path / segment_name(ENCODING, n)).read_text() for n in range(20)]
    assert all(n in executor.actors[name].made for n, name in enumerate(made_by))


def test_no_more_workers_are_started_than_there_are_segments(make):
    executor, _ = make(2, 50, lambda *_: "make")

    assert len(executor.actors) == 2


@pytest.mark.parametrize("how", ["die", "vanish"])
def test_a_lost_workers_segment_is_made_by_another(make, tmp_path, how):
    seen = set()

    def act(name, segment):
        if segment in (1, 4) and segment not in seen:
            seen.add(segment)
            return how
        return "make"

    executor, recorded = make(6, 2, act)
    assert sorted(recorded) == list(range(6))


def test_a_failed_segment_is_made_by_another_worker(make, tmp_path):
    executor, recorded = make(6, 2, lambda name, n: "fail" if n == 3 and name == "worker-1" else "make")

    assert sorted(recorded) == list(range(6))
    assert (tmp_path / segment_name(ENCODING, 3)).read_text() == "worker-2" or 3 not in executor.actors["worker-1"].made


def test_what_nobody_can_make_ends_with_the_workers_own_error(make):
    with pytest.raises(UserError, match=r"It broke \(segment 3 on pid 0 on worker-\d\)\.\n  Try: mend it"):
        make(6, 2, lambda name, n: "fail" if n == 3 else "make")
    assert 3 not in make.recorded and {0, 1, 2} <= set(make.recorded)


def test_a_segment_that_ends_its_workers_ends_the_job(make):
    with pytest.raises(UserError, match="workers in a row|ended every worker"):
        make(6, 2, lambda name, n: "die" if n == 3 else "make")


def test_workers_that_end_at_once_are_not_started_for_ever(make):
    with pytest.raises(UserError, match="7 workers in a row ended"):
        make(6, 2, lambda name, n: "die")
    assert len(make.executor.actors) <= 9


def test_too_little_memory_is_passed_on_as_such(make):
    with pytest.raises(MemoryError, match="No room"):
        make(6, 2, lambda name, n: "starve" if n == 3 else "make")


def test_a_refused_worker_is_not_replaced_and_the_others_do_the_work(make):
    executor, recorded = make(6, 2, lambda name, n: "refuse" if name == "worker-1" else "make")

    assert sorted(recorded) == list(range(6)) and set(executor.actors) == {"worker-1", "worker-2"}


def test_where_all_are_refused_the_job_ends_with_the_reason(make):
    with pytest.raises(UserError, match="tool: 1 -> 2"):
        make(6, 2, lambda name, n: "refuse")
    assert len(make.executor.actors) == 2


def test_the_last_segment_is_made_twice_where_a_worker_hangs(make):
    hung = []

    def act(name, segment):
        if segment == 5 and not hung:
            hung.append(name)
            return "hang"  # its count goes up, its frames do not
        return "make"

    executor, recorded = make(6, 2, act, Limits(stall_s=0.3))
    assert sorted(recorded) == list(range(6)) and hung


def test_a_worker_that_was_silent_and_comes_back_is_given_work_again(make):
    woken = threading.Event()

    def act(name, segment):
        if segment == 0 and not woken.is_set():
            woken.set()
            time.sleep(0.8)  # twice the head's patience
        else:
            time.sleep(0.05)
        return "make"

    executor, recorded = make(40, 2, act)
    assert sorted(recorded) == list(range(40))
    assert all(len(actor.made) > 2 for actor in executor.actors.values())


# ----------------------------------------------------------------------------------------------------- the folder


def test_nothing_that_is_not_an_order_is_taken_for_one(tmp_path):
    session = Session(tmp_path)
    (tmp_path / "orders").mkdir()
    for text in ("", "{", "[]", '{"serial": "1", "segment": null, "stop": false}', '{"serial": 1}', "\udcff"):
        (tmp_path / "orders" / "w.json").write_bytes(text.encode("utf-8", "surrogateescape"))
        assert session.order("w") is None
    session.tell("w", Order(3, 4))
    assert session.order("w") == Order(3, 4)
    assert json.loads((tmp_path / "orders" / "w.json").read_text()) == {"serial": 3, "segment": 4, "stop": False}


def test_a_folder_that_is_no_job_is_refused(tmp_path):
    with pytest.raises(UserError, match="no job that waits for workers"):
        Session.find(tmp_path)


@pytest.mark.parametrize(
    ("encoder", "processors", "height", "threads"),
    [
        ("libx264", 2, 480, 3), ("libx264", 8, 480, 12), ("libx264", 64, 480, 15), ("libx264", 1, 16, 1),
        ("libx265", 2, 480, 1), ("libx265", 8, 480, 3), ("libx265", 64, 2160, 6), ("libvpx-vp9", 96, 480, 64),
        ("ffv1", 8, 480, 0), ("libsvtav1", 8, 480, 0),
    ],
)  # fmt: skip
def test_the_encoders_threads_are_the_heads(encoder, processors, height, threads):
    assert default_threads(encoder, processors, height) == threads
    options = dict(with_threads(ENCODING, threads).options)
    assert options == ({"threads": str(threads)} if threads else {})
