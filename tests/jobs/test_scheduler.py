"""Which worker makes which segment: everything once, whatever dies, and no waiting for a straggler."""

from __future__ import annotations

import random
from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from vfi_pipeline.jobs.scheduler import Limits, Scheduler


def scheduler(segments: int = 4, frames: int = 10, *workers: str, limits: Limits | None = None) -> Scheduler:
    made = Scheduler(dict.fromkeys(range(segments), frames), limits)
    for worker in workers:
        made.joined(worker)
    return made


def test_segments_are_given_out_in_order_and_each_once():
    s = scheduler(5, 10, "a", "b")

    assert s.assign(0) == [("a", 0), ("b", 1)]
    assert s.assign(1) == []
    assert s.finished("b", 2) == (True, ())
    assert s.assign(2) == [("b", 2)]
    assert s.due == (3, 4) and s.done == {1} and not s.complete


def test_what_a_lost_worker_made_is_due_first_and_goes_to_another():
    s = scheduler(5, 10, "a", "b")
    s.assign(0)
    s.left("a")

    assert s.due == (0, 2, 3, 4)
    s.finished("b", 1)
    assert s.assign(1) == [("b", 0)]


def test_a_segment_that_failed_goes_to_another_worker_even_if_it_has_to_wait_for_it():
    s = scheduler(2, 10, "a", "b")
    s.assign(0)
    s.failed("a", "no")

    assert s.assign(1) == []  # b is busy, and a has shown that it cannot
    s.finished("b", 2)
    assert s.assign(2) == [("b", 0)]


def test_who_is_alone_tries_again_and_gives_up_in_the_end():
    s = scheduler(1, 10, "a", limits=Limits(failures=3))
    for count in range(3):
        assert s.hopeless is None and s.assign(count) == [("a", 0)]
        s.failed("a", f"error {count}")

    assert s.hopeless == (0, "error 2")


def test_a_segment_that_every_worker_dies_of_is_given_up():
    s = scheduler(1, 10, limits=Limits(losses=4))
    for count in range(4):
        assert s.hopeless is None
        s.joined(f"w{count}")
        assert s.assign(count) == [(f"w{count}", 0)]
        s.left(f"w{count}")

    assert s.hopeless == (0, "")


def test_a_segment_that_another_finished_is_not_hopeless():
    s = scheduler(1, 10, "a", "b", limits=Limits(failures=1, stall_s=5))
    s.assign(0)
    s.assign(10)
    s.finished("b", 11)

    assert s.complete and s.hopeless is None


def slow_end() -> Scheduler:
    """Both made a segment in 10 s; at 10 s, a begins the last one."""
    s = scheduler(3, 10, "a", "b")
    assert s.assign(0) == [("a", 0), ("b", 1)]
    s.finished("a", 10)
    assert s.assign(10) == [("a", 2)]
    s.finished("b", 10)
    return s


def test_the_last_segment_is_not_made_twice_while_its_worker_keeps_its_pace():
    s = slow_end()
    for now in range(11, 20):
        s.progressed("a", now - 10, now)
        assert s.assign(now) == []


def test_the_last_segment_is_made_twice_when_its_worker_is_slow_and_the_first_copy_counts():
    s = slow_end()
    s.progressed("a", 1, 15)  # 5 s a frame: 45 more, where b takes 10

    assert s.assign(15) == [("b", 2)]
    assert s.assign(16) == []
    s.progressed("b", 6, 20)
    assert s.under_way == 6
    assert s.finished("b", 25) == (True, ("a",))
    assert s.complete and s.lease("a") is None


def test_the_slow_copy_of_a_finished_segment_does_not_count_again():
    s = scheduler(2, 10, "a", "b")
    s.assign(0)
    s.finished("b", 10)
    assert s.assign(60) == [("b", 0)]
    s.left("a")  # silent for a while
    assert s.due == ()  # b has it
    assert s.finished("b", 70) == (True, ())
    assert s.done == {0, 1}


def test_a_copy_is_not_made_by_who_failed_at_the_segment():
    s = scheduler(1, 10, "a", "b", limits=Limits(stall_s=5))
    s.assign(0)
    s.failed("a", "no")
    assert s.assign(1) == [("b", 0)]

    assert s.assign(100) == []


def test_a_segment_that_stands_still_is_made_twice_though_no_pace_is_known():
    s = scheduler(1, 10, "a", "b", limits=Limits(stall_s=120))
    s.assign(0)

    assert s.assign(119) == []
    assert s.assign(121) == [("b", 0)]


@given(st.integers(0, 10_000), st.integers(1, 6), st.integers(1, 30), st.floats(0, 0.15))
def test_whatever_dies_everything_is_made_once(seed, workers, segments, risk):
    """Workers of random speed, which die and fail at random; a new one comes for each that is gone."""
    dice = random.Random(seed)
    frames = {n: dice.randint(1, 40) for n in range(segments)}
    s = Scheduler(frames, Limits(failures=10**6, losses=10**6))
    speed: dict[str, float] = {}
    progress: dict[str, float] = {}
    finished: Counter[int] = Counter()
    for now in range(100_000):
        while len(speed) < workers:
            name = f"w{now}-{len(speed)}"
            speed[name] = dice.uniform(0.2, 5)
            s.joined(name)
        for name, segment in s.assign(now):
            assert s.lease(name).segment == segment and segment not in s.done
            progress[name] = 0.0
        held = Counter(lease.segment for name in s.workers if (lease := s.lease(name)))
        assert max(held.values(), default=0) <= 2
        assert not set(held) & set(s.due)
        assert set(held) | set(s.due) | s.done == set(frames)
        for name in list(speed):
            lease = s.lease(name)
            if dice.random() < risk:
                s.left(name)
                del speed[name]
            elif lease is not None and dice.random() < risk:
                s.failed(name, "no")
            elif lease is not None:
                progress[name] += speed[name]
                s.progressed(name, int(progress[name]), now)
                if progress[name] >= frames[lease.segment]:
                    first, _ = s.finished(name, now)
                    finished[lease.segment] += first
        if s.complete:
            break
        risk *= 0.999
    assert s.complete and finished == Counter(dict.fromkeys(frames, 1))
