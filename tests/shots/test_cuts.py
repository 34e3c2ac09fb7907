"""Hard cuts are found; flashes, fades, dissolves and fast pans are not cuts."""

import numpy as np
import photo_shots as shots
import pytest

from vfi_pipeline.shots import cuts


def found(pictures, threshold=cuts.THRESHOLD, name="yuv420p"):
    detector = cuts.CutDetector(threshold)
    verdicts = []
    for picture in pictures:
        verdicts += detector.push(cuts.signature(shots.frame(picture, name)))
    verdicts += detector.flush()
    assert len(verdicts) == len(pictures)
    return [k for k, is_cut in enumerate(verdicts) if is_cut]


@pytest.mark.parametrize("name", ["yuv420p", "gray"])
@pytest.mark.parametrize("lengths", [[9, 7, 8, 6, 9, 7, 5], [6, 1, 2, 3, 1, 2, 6]])
def test_every_cut_is_found_and_nothing_else(lengths, name):
    pictures = [p for photo, n in zip(shots.PHOTOS, lengths) for p in shots.shot(photo, n)]
    assert found(pictures, name=name) == list(np.cumsum(lengths)[:-1])


@pytest.mark.parametrize("speed", [2, 12, 25])
def test_a_pan_is_no_cut(speed):
    for photo in ("astronaut", "coffee", "motorcycle"):
        assert found(shots.shot(photo, 10, speed)) == []


@pytest.mark.parametrize("length", [1, 2])
@pytest.mark.parametrize(
    "flash",
    [
        lambda p: np.full_like(p, 255), lambda p: np.zeros_like(p), lambda p: np.clip(p * 2.5 + 30, 0, 255),
        lambda p: p * 0.3 + 170,
    ],
    ids=["white", "black", "blown out", "washed out"],
)  # fmt: skip
def test_a_flash_is_no_cut(flash, length):
    pictures = shots.shot("astronaut", 16)
    pictures[7 : 7 + length] = [flash(p.astype(float)) for p in pictures[7 : 7 + length]]
    assert found(pictures) == []


def test_a_foreign_frame_in_a_shot_is_two_cuts():
    pictures = shots.shot("astronaut", 16)
    pictures[7] = shots.shot("motorcycle", 1)[0]
    assert found(pictures) == [7, 8]


@pytest.mark.parametrize("steps", [6, 12, 24])
def test_fades_and_dissolves_are_no_cuts(steps):
    first, last = shots.shot("chelsea", 4 + steps), shots.shot("motorcycle", 4 + steps)
    share = np.clip((np.arange(4 + steps) - 2) / steps, 0, 1)
    assert found([a * (1 - s) + b * s for a, b, s in zip(first, last, share)]) == []
    black = [a * (1 - s) for a, s in zip(first, share)] + [first[0] * 0.0] * 2 + [b * s for b, s in zip(last, share)]
    assert found(black) == []


def test_black_between_shots_is_a_cut_on_both_sides():
    pictures = shots.shot("astronaut", 6) + [np.zeros((108, 192, 3))] * 3 + shots.shot("coffee", 6)
    assert found(pictures) == [6, 9]


def test_cuts_in_a_dark_film_are_found():
    dark = [p * 0.12 for p in shots.shot("astronaut", 7) + shots.shot("motorcycle", 7)]
    noise = np.random.default_rng(0)
    assert found([p + noise.normal(0, 0.5, p.shape) for p in dark]) == [7]


def test_the_threshold_orders_what_counts():
    pictures = shots.shot("astronaut", 6) + shots.shot("coffee", 6)
    assert found(pictures, threshold=0.0) == [6]  # equal-looking pairs never are
    assert found(pictures, threshold=1.0) == []


def test_films_of_few_frames():
    assert found([]) == []
    assert found(shots.shot("coffee", 1)) == []
    assert found(shots.shot("coffee", 1) + shots.shot("astronaut", 1)) == [1]


@pytest.mark.slow
def test_on_real_clips(shared):
    import av

    from vfi_pipeline.media.frames import Frame, pixel_format

    def frames(path, step):
        with av.open(str(path)) as film:
            for k, picture in enumerate(film.decode(video=0)):
                if k % step == 0 and picture.format.name == "yuv420p":
                    array, h, w = picture.to_ndarray(), picture.height, picture.width
                    half = ((h + 1) // 2, (w + 1) // 2)
                    flat = array.ravel()
                    u, v = flat[h * w :][: half[0] * half[1]], flat[h * w + half[0] * half[1] :]
                    planes = (flat[: h * w].reshape(h, w), u.reshape(half), v[: half[0] * half[1]].reshape(half))
                    yield Frame(planes, pixel_format("yuv420p"), w, h)

    def stream(path, step=1):
        detector = cuts.CutDetector()
        verdicts = [v for f in frames(path, step) for v in detector.push(cuts.signature(f))] + detector.flush()
        return [k for k, is_cut in enumerate(verdicts) if is_cut]

    assert stream(shared / "odd" / "hard_cuts_every_second.mp4") == [24, 48, 72, 96, 120]
    for path in sorted((shared / "clips" / "dev").glob("*.mp4")):
        assert stream(path, 2) == [], path.name
