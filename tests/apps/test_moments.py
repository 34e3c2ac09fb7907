"""When each frame of an animation is shown, worked by hand."""

from fractions import Fraction as F

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vfi_pipeline.apps.moments import schedule
from vfi_pipeline.apps.options import read_picture_options
from vfi_pipeline.errors import UserError


def shown(pictures, rate=10, **options):
    """What each frame shows: a picture's number, or (from, to, t)."""
    asked = read_picture_options({key: str(value) for key, value in options.items()})
    timeline, keys = schedule(pictures, F(rate), asked)
    told = []
    for slot in timeline.slots():
        assert slot.time == F(len(told), rate)
        same = slot.t == 0 or keys[slot.source] == keys[slot.source + 1]
        told.append(keys[slot.source] if same else (keys[slot.source], keys[slot.source + 1], slot.t))
    assert len(told) == timeline.count
    return told


def test_two_pictures_fill_their_duration_and_end_on_the_last_one():
    told = shown(2, rate=5, duration=1)

    assert told == [0, (0, 1, F(1, 4)), (0, 1, F(1, 2)), (0, 1, F(3, 4)), 1]


def test_three_pictures_show_the_middle_one_once():
    told = shown(3, rate=5, duration=1)

    assert told == [0, (0, 1, F(1, 2)), 1, (1, 2, F(1, 2)), 2]


def test_a_loop_comes_back_and_leaves_its_beginning_out():
    told = shown(2, rate=6, duration=1, loop="true")

    assert told == [0, (0, 1, F(1, 3)), (0, 1, F(2, 3)), 1, (1, 0, F(1, 3)), (1, 0, F(2, 3))]


def test_holds_add_frames_at_the_first_and_the_last_picture():
    told = shown(2, rate=10, duration=F(3, 10), hold_first=F(2, 10), hold_last=F(1, 10))

    assert told == [0, 0, 0, (0, 1, F(1, 2)), 1, 1]


def test_in_a_loop_the_last_picture_is_held_where_it_is_shown():
    told = shown(2, rate=2, duration=2, loop="true", hold_first=F(1, 2), hold_last=1)

    assert told == [0, 0, (0, 1, F(1, 2)), 1, 1, 1, (1, 0, F(1, 2))]


def test_durations_share_the_frames_out():
    told = shown(3, rate=10, durations="[0.6,0.3]")

    # 9 frames, 8 steps: 8 * 2/3 = 5.33 of them go to the first gap.
    assert told.index(1) == 5 and told[0] == 0 and told[-1] == 2 and len(told) == 9


def test_listed_times_count_pictures():
    told = shown(3, t="[0, 1/3, 1, 1.25, 2]")

    assert told == [0, (0, 1, F(1, 3)), 1, (1, 2, F(1, 4)), 2]


def test_times_beyond_the_pictures_belong_to_the_outer_gaps():
    asked = read_picture_options({"t": "[-0.5,2.5]", "extrapolate": "true"})
    timeline, _ = schedule(3, F(10), asked)

    assert [(slot.source, slot.t) for slot in timeline.slots()] == [(0, F(-1, 2)), (1, F(3, 2))]


@given(
    pictures=st.integers(2, 9),
    frames=st.integers(2, 200),
    loop=st.booleans(),
    rate=st.sampled_from([F(24000, 1001), F(30)]),
    weights=st.lists(st.integers(1, 50), min_size=9, max_size=9),
)
def test_every_picture_comes_exactly_once_and_time_never_turns_back(pictures, frames, loop, rate, weights):
    gaps = pictures - 1 + loop
    if frames - (not loop) < gaps:
        return
    total = F(frames) / rate
    lengths = [total * w / sum(weights[:gaps]) for w in weights[:gaps]]
    texts = {"durations": "[" + ",".join(map(str, lengths)) + "]", "loop": str(loop)}
    timeline, keys = schedule(pictures, rate, read_picture_options(texts))
    slots = list(timeline.slots())

    assert len(slots) == frames
    assert [keys[slot.source] for slot in slots if slot.t == 0] == list(range(pictures))
    assert all(b.source + b.t > a.source + a.t for a, b in zip(slots, slots[1:]))
    if not loop:
        assert slots[-1].t == 0


@pytest.mark.parametrize(
    ("pictures", "options", "problem"),
    [
        (2, {"t": "1.5"}, "outside of 0 to 1"),
        (3, {"t": "-0.1"}, "outside of 0 to 2"),
        (3, {"durations": "[1]"}, "1 lengths for 2 gaps"),
        (9, {"duration": "0.5"}, "cannot show all 9 pictures"),
        (1, {"duration": "1", "loop": "true"}, "needs a second picture"),
    ],
)
def test_what_does_not_fit_is_told(pictures, options, problem):
    with pytest.raises(UserError, match=problem):
        schedule(pictures, F(10), read_picture_options(options))
