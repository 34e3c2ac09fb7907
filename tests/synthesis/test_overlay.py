"""What stays over a moving picture is found and left alone; what scrolls, and what a still camera sees, is not."""

from dataclasses import replace

import cv2
import numpy as np
import pytest
import torch
from pans import PLAIN, SPEED, Pan, lettered, made
from photo_shots import SIZE, frame, photo, shot

from vfi_pipeline.synthesis import compose, overlay


def letters(text, at=(20, 90), scale=0.6):
    """Where the letters and their outline are, (h, w) bool."""
    ground = np.full((SIZE[1], SIZE[0], 3), 128, np.uint8)
    return (np.abs(lettered(ground, text, at, scale).astype(int) - 128) > 60).any(axis=2)


def lumas(pictures):
    return [overlay.luma(frame(picture)) for picture in pictures]


def test_letters_over_a_pan_are_found_and_nothing_else():
    text = "and so it goes"
    found = overlay.lasting(lumas(lettered(p, text) for p in shot("coffee", 4, SPEED))).mask
    there = letters(text)
    assert (found[there] > 0).mean() > 0.94  # the rest are rims that the ground shines through
    near = cv2.dilate(there.astype(np.uint8), np.ones((9, 9))) > 0
    assert not found[~near].any()


@pytest.mark.parametrize("name", ["astronaut", "coffee", "chelsea", "motorcycle"])
def test_a_pan_without_overlays_has_none(name):
    assert overlay.lasting(lumas(shot(name, 4, SPEED))) is None


@pytest.mark.parametrize("step", [1, 2, 4, 8])
def test_credits_that_scroll_are_no_overlay(step):
    long = np.zeros((400, SIZE[0], 3), np.uint8)
    for line, name in enumerate(["HILL", "MINNELLI", "LITTLE", "WILLIAM", "ELI FILM", "LEE", "TILL"] * 2):
        cv2.putText(long, name, (30, 25 + 27 * line), cv2.FONT_HERSHEY_SIMPLEX, 0.7, (255, 255, 255), 2)
    rolled = [long[20 + step * k : 20 + step * k + SIZE[1]] for k in range(4)]
    assert overlay.lasting(lumas(rolled)) is None


def test_made_frames_show_letters_unmoved_and_no_second_copy_of_them():
    text = "and so it goes"
    pictures, truth = shot("coffee", 8, SPEED), shot("coffee", 15, SPEED / 2)
    lettered_film = [lettered(p, text) for p in pictures]
    there = letters(text)

    def error(options):
        frames = made(lettered_film, options)
        right = frame(lettered(truth[7], text)).planes[0].astype(int)
        wrong = np.abs(frames[7].planes[0].astype(int) - right)
        ring = cv2.dilate(there.astype(np.uint8), np.ones((13, 13))).astype(bool) & ~there
        return wrong[there].mean(), wrong[ring].mean()

    on, ring_on = error(PLAIN)
    off, ring_off = error(replace(PLAIN, overlay=False))
    assert on < 2 < 30 < off
    assert ring_on < 0.7 * ring_off  # between dense letters both frames are covered


def test_the_samples_of_an_overlay_are_those_of_the_nearer_source_frame():
    text = "LIVE"
    pictures = [lettered(p, text, scale=1.2) for p in shot("coffee", 8, SPEED)]
    source = [frame(p) for p in pictures]
    mask = overlay.lasting([overlay.luma(f) for f in source[2:6]]).mask > 0
    out = made(pictures)[7]  # between the frames 3 and 4, half-way: the first is the nearer
    assert mask.sum() > 300 and np.array_equal(out.planes[0][mask], source[3].planes[0][mask])


def test_a_subtitle_is_left_alone_from_its_first_frame_to_its_last():
    text, there = "so it goes", letters("so it goes")
    clear = shot("coffee", 14, SPEED)
    pictures = [lettered(p, text) if 5 <= k < 10 else p for k, p in enumerate(clear)]
    frames = made(pictures)
    for gap in (5, 6, 7, 8):  # between frames that both show it
        right = frame(pictures[gap]).planes[0].astype(int)
        assert np.abs(frames[2 * gap + 1].planes[0].astype(int) - right)[there].mean() < 6
    unlettered = made(clear)  # where it comes, the first half shows the picture without it
    assert np.abs(frames[9].planes[0].astype(int) - unlettered[9].planes[0])[there].mean() < 12


def test_a_counter_is_an_overlay_between_its_changes():
    there = letters("08", scale=1.0) | letters("09", scale=1.0)
    pictures = [lettered(p, f"0{8 + (k >= 6)}", scale=1.0) for k, p in enumerate(shot("coffee", 12, SPEED))]
    frames = made(pictures)
    for gap in (2, 3, 4, 5, 6, 7, 8):  # in the pair of the change: the nearer frame's
        right = frame(pictures[gap]).planes[0].astype(int)
        assert np.abs(frames[2 * gap + 1].planes[0].astype(int) - right)[there].mean() < 8, gap


def test_nothing_is_touched_where_the_camera_stands_still():
    ground = photo("astronaut")[100:208, 100:292]
    pictures = []
    for k in range(8):
        picture = ground.copy()
        cv2.circle(picture, (30 + 12 * k, 54), 18, (200, 40, 40), -1)
        pictures.append(picture)

    class Person(Pan):
        """Moves the disc's surroundings along, and half of what it passes."""

        def at(self, times):
            motions = super().at(times)
            place = torch.zeros(1, 1, 27, 48)
            place[..., 8:19, :22] = 1
            return [replace(m, flow_to_first=m.flow_to_first * place, flow_to_last=m.flow_to_last * place)
                    for m in motions]  # fmt: skip

    on, off = made(pictures, PLAIN, Person()), made(pictures, replace(PLAIN, overlay=False), Person())
    for number in on:
        assert all(np.array_equal(a, b) for a, b in zip(on[number].planes, off[number].planes))


def test_a_camera_that_starts_to_move_leaves_nothing_behind():
    pictures = [shot("astronaut", 1)[0]] * 5 + shot("astronaut", 6, SPEED)[1:]
    rng = np.random.default_rng(0)
    pictures = [np.clip(p + rng.normal(0, 1, p.shape), 0, 255) for p in pictures]  # no two frames are the same
    on, off = made(pictures), made(pictures, replace(PLAIN, overlay=False))
    assert np.array_equal(on[9].planes[0], off[9].planes[0])  # between the last still frame and the first moved one


def test_a_cut_ends_an_overlay():
    text = "so it goes"
    pictures = shot("coffee", 6, SPEED) + [lettered(p, text) for p in shot("astronaut", 2, SPEED)]
    options = replace(PLAIN, cuts=(6,))
    on, off = made(pictures, options), made(pictures, replace(options, overlay=False))
    assert all(np.array_equal(on[n].planes[0], off[n].planes[0]) for n in on)  # two frames are no run


def test_a_segment_with_context_has_the_overlays_of_the_whole_film():
    pictures = [lettered(p, f"0{k // 5}", scale=1.0) for k, p in enumerate(shot("coffee", 20, SPEED))]
    whole = made(pictures)
    assert len(whole) == 19
    for start, stop, context in ((0, 14, (0, 20)), (14, 27, (0, 20)), (27, 40, (6, 20))):
        for number, part in made(pictures, PLAIN, None, start, stop, context).items():
            assert all(np.array_equal(a, b) for a, b in zip(part.planes, whole[number].planes)), number


@pytest.mark.parametrize("name, depth", [("yuv420p10le", 10), ("gbrp", 8), ("yuva444p", 8)])
def test_formats_of_any_kind_are_looked_at_by_what_is_seen(name, depth):
    from vfi_pipeline.media.frames import Frame, pixel_format

    form = pixel_format(name)
    text = "so it goes"
    pictures = []
    for picture in shot("coffee", 4, SPEED):
        luma = cv2.cvtColor(lettered(picture, text), cv2.COLOR_RGB2GRAY).astype(int) << (depth - 8)
        planes = [np.full(form.plane_size(k, *SIZE), form.peak if p.kind == "a" else form.peak // 2, form.dtype)
                  for k, p in enumerate(form.planes)]  # fmt: skip
        for k, plane in enumerate(form.planes):
            if plane.kind in "yrgb":
                planes[k] = luma.astype(form.dtype)
        pictures.append(Frame(tuple(planes), form, *SIZE))
    found = overlay.lasting([overlay.luma(p) for p in pictures]).mask
    assert (found[letters(text)] > 0).mean() > 0.9


def test_what_is_invisible_is_no_overlay():
    from vfi_pipeline.media.frames import Frame, pixel_format

    form = pixel_format("yuva444p")
    plane = lettered(np.full((SIZE[1], SIZE[0], 3), 90, np.uint8), "HIDDEN")[..., 0]
    clear = np.zeros_like(plane)
    hidden = Frame((plane, plane, plane, clear), form, *SIZE)
    assert overlay.lasting([overlay.luma(hidden)] * 4) is None


def test_what_lies_under_an_overlay_is_pulled_from_the_other_frame():
    ground = frame(np.full((SIZE[1], SIZE[0], 3), 60, np.uint8))
    dark, bright = ground.planes[0][0, 0], 255
    first = ground.planes[0].copy()
    first[40:60, 80:100] = bright  # in the first frame only, and covered there
    one, other = replace(ground, planes=(first, *ground.planes[1:])), ground
    covered = torch.zeros(2, 1, 1, SIZE[1], SIZE[0])
    covered[0, ..., 40:60, 80:100] = 1
    motion = Pan().at([0.5])[0]
    layout = compose.layout_of(one)
    groups = compose.planes(
        compose.to_tensors(one), compose.to_tensors(other), [motion], layout, (covered[0], covered[1])
    )
    assert (groups[0][0, 0] - float(dark)).abs().max() < 1e-3
    both = compose.planes(compose.to_tensors(one), compose.to_tensors(one), [motion], layout, (covered[0], covered[0]))[
        0
    ][0, 0]  # covered in both: as it stands, unmoved
    outside = torch.ones(SIZE[1], SIZE[0], dtype=torch.bool)
    outside[40:60, 80:100] = False
    assert (both[outside] - float(dark)).abs().max() < 1e-3


def test_thin_letters_stay_whole_while_ground_of_their_own_colour_passes():
    """A white wall behind white letters leaves them no edge; what they are is known from other frames."""
    text, there = "CHANNEL 5", letters("CHANNEL 5", (24, 30), 0.5)
    pictures = []
    for k, picture in enumerate(shot("coffee", 14, SPEED)):
        wall = picture // 2  # nothing else of it is white
        left = 150 - round(SPEED * 2 * k)
        wall[:, max(0, left) : max(0, left + 30)] = 235
        cv2.putText(wall, text, (24, 30), cv2.FONT_HERSHEY_SIMPLEX, 0.5, (255, 255, 255), 1, cv2.LINE_AA)
        pictures.append(wall)
    plain = np.zeros((SIZE[1], SIZE[0]), np.uint8)
    cv2.putText(plain, text, (24, 30), cv2.FONT_HERSHEY_SIMPLEX, 0.5, 255, 1, cv2.LINE_AA)
    strokes = (plain > 200) & there
    frames = made(pictures)
    nibbled = [
        (np.abs(frames[2 * k + 1].planes[0].astype(int) - frame(pictures[k]).planes[0])[strokes] > 30).mean()
        for k in range(1, 11)
    ]
    assert max(nibbled) < 0.1 and np.mean(nibbled) < 0.04  # without other frames: 0.18 and 0.06


@pytest.mark.parametrize("left", [50, 80, 110])
@pytest.mark.parametrize("end", ["first", "last"])
def test_thin_letters_stay_whole_at_either_end_of_a_shot(left, end):
    """Frames lie on one side only there; what the wall hides in some of them is known from those beyond it."""
    text, pictures = "CHANNEL 5", []
    for k, picture in enumerate(shot("coffee", 12, SPEED)):
        wall = picture // 2
        begin = left - round(SPEED * 2 * (k if end == "first" else 11 - k))
        wall[:, max(0, begin) : max(0, begin + 30)] = 250
        cv2.putText(wall, text, (24, 30), cv2.FONT_HERSHEY_SIMPLEX, 0.5, (255, 255, 255), 1, cv2.LINE_AA)
        pictures.append(wall)
    plain = np.zeros((SIZE[1], SIZE[0]), np.uint8)
    cv2.putText(plain, text, (24, 30), cv2.FONT_HERSHEY_SIMPLEX, 0.5, 255, 1, cv2.LINE_AA)
    frames = made(pictures)
    nibbled = [
        (np.abs(frames[2 * k + 1].planes[0].astype(int) - frame(pictures[k]).planes[0])[plain > 200] > 30).mean()
        for k in ((0, 1) if end == "first" else (9, 10))
    ]
    assert max(nibbled) < 0.25 and np.mean(nibbled) < 0.2  # by runs without gaps: up to 0.51


@pytest.mark.parametrize("every", [2, 3, 5])
@pytest.mark.parametrize("ground", ["bar", "box"])
def test_a_digit_that_changes_is_that_of_one_side(every, ground):
    """Counted by ``every`` frames, on a bar or in a box: made frames show the nearer frame's, and no mixture."""
    pictures = []
    place = np.s_[82:108, :] if ground == "bar" else np.s_[60:84, 10:150]
    for k, picture in enumerate(shot("astronaut", 13, SPEED)):
        picture = picture.copy()
        picture[place] = 12
        at = (16, 102) if ground == "bar" else (16, 78)
        cv2.putText(
            picture, f"SPEED {80 + 3 * (k // every)}", at, cv2.FONT_HERSHEY_SIMPLEX, 0.6, (90, 255, 90), 1, cv2.LINE_AA
        )
        pictures.append(picture)
    frames = made(pictures)
    digits = np.s_[88:104, 70:94] if ground == "bar" else np.s_[64:80, 70:94]
    changes = [k for k in range(1, 11) if (k + 1) % every == 0]
    assert len(changes) > 1
    for gap in changes:
        first = frame(pictures[gap]).planes[0][digits].astype(int)
        last = frame(pictures[gap + 1]).planes[0][digits].astype(int)
        assert np.abs(first - last).max() > 80
        assert np.abs(frames[2 * gap + 1].planes[0][digits].astype(int) - first).max() <= 8, gap


def test_what_moves_beside_an_overlay_is_not_frozen():
    text = "SPEED 80"
    pictures = []
    for k, picture in enumerate(shot("astronaut", 12, SPEED)):
        picture = lettered(picture, text, (14, 60), 0.5)
        cv2.circle(picture, (110 - 6 * k % 70 + 20, 54), 7, (250, 250, 250), -1)  # passes close beside the letters
        cv2.circle(picture, (110 - 6 * k % 70 + 20, 54), 4, (20, 20, 20), -1)
        pictures.append(picture)
    there = cv2.dilate(letters(text, (14, 60), 0.5).astype(np.uint8), np.ones((7, 7))) > 0
    frames = [(k, frame(picture)) for k, picture in enumerate(pictures)]
    for k in range(1, 9):
        lasting, changed = overlay.Overlays().masks(frames[max(0, k - 6) : k + 8], (k, k + 1))
        for mask in (*lasting, *changed):
            assert mask is None or (mask[~there] > 0).sum() < 0.05 * there.sum(), k


@pytest.mark.parametrize("step", [2, 5])
def test_credits_that_scroll_beside_a_logo_are_no_overlay(step):
    long = np.zeros((500, SIZE[0], 3), np.uint8)
    for line, name in enumerate(["HILL", "MINNELLI", "LITTLE", "WILLIAM", "ELI FILM", "LEE", "TILL"] * 3):
        cv2.putText(long, name, (30, 25 + 22 * line), cv2.FONT_HERSHEY_SIMPLEX, 0.6, (255, 255, 255), 1)
    rolled = [lettered(long[20 + step * k : 20 + step * k + SIZE[1]].copy(), "TV1", (150, 20), 0.4) for k in range(14)]
    frames = [(k, frame(picture)) for k, picture in enumerate(rolled)]
    (first, last), changed = overlay.Overlays().masks(frames, (6, 7))
    assert changed == (None, None)
    for mask in (first, last):
        assert mask is not None and not mask[:, :140].any()
