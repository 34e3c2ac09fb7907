"""What the pictures of a film are, by looking: whole, two fields of two moments, or film that was woven into fields.

Flags for the field order are claims. The first seconds (of streams that claim fields: several places) are decoded and
judged by ffmpeg's idet; what is combed is then put through fieldmatch: if that takes the combs away, the fields belong
to film frames (hard telecine, or film whose fields are out of step), else each field is a moment of its own.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import partial
from pathlib import Path
from typing import Any

import av
import av.error
import av.filter
import numpy as np

from vfi_pipeline.media.decoding import decode_packets, decoder_for
from vfi_pipeline.media.opening import open_media
from vfi_pipeline.media.timeline import SourceTimes


@dataclass(frozen=True)
class FieldRule:
    """The constants of the look at fields, chosen by hand on 96 progressive clips, 24 of film and 15 of true fields.

    Attributes:
        look_s: s, of the beginning that is looked at.
        least_frames, most_frames: frames of it: two turns of the longest pattern, 24 in 25.
        places: shares of the duration; where else a stream that claims to be interlaced is looked at.
        place_frames: frames that are looked at there.
        tallest: lines; taller pictures are looked at only where they claim fields: nobody interlaces them.
        fastest: frames per second beyond which nobody interlaces.
        combed: share of the frames with motion that have to be combed. idet finds none in the progressive clips.
        one_parity: share of those that have to agree on which field comes first.
        matched: share of the combed pixels that fieldmatch leaves: 0.33 at most of film, 0.88 at least of fields.
        fields_combed, film_combed: share of the pixels that move which is combed at least. True fields have 0.30 to
            0.52, telecined film 0.08 to 0.30, whole pictures up to 0.09 (fine texture), and 0.001 where idet is misled
            by pictures that scroll upwards.
        fields_certain: share of them that needs no further sign.
        midway: below that: how far a frame's later field is from its earlier one, of how far from the next frame's.
            True fields lie midway (0.99 at least in 6 films, 1.1 to 1.8 drawn); those of whole pictures are one moment
            (0.23 to 0.59 in films, 0.31 to 0.74 in ffmpeg's testsrc2, whose upward motion idet takes for fields).
        least_combed, least_claimed: combed frames that it takes where nothing claims fields, and where something does:
            noise may pass for fields.
        repeated: share of the usual difference below which a frame repeats the one before.
        seen: steps of 255 from which a difference counts (fieldmatch's cthresh).
        cycles: frames of which one is a repetition: 24 in 30 frames, 24 in 25.
    """

    look_s: int = 3
    least_frames: int = 50
    most_frames: int = 90
    places: tuple[Fraction, ...] = (Fraction(1, 4), Fraction(1, 2), Fraction(3, 4))
    place_frames: int = 30
    tallest: int = 1152
    fastest: int = 31
    combed: float = 0.15
    one_parity: float = 0.85
    matched: float = 0.6
    fields_combed: float = 0.18
    film_combed: float = 0.05
    fields_certain: float = 0.22
    midway: float = 0.85
    least_combed: int = 4
    least_claimed: int = 3
    repeated: float = 0.4
    seen: int = 9
    cycles: tuple[int, ...] = (5, 25)


RULE = FieldRule()


@dataclass(frozen=True)
class View:
    """How pictures are taken out of woven frames.

    Attributes:
        kind: ``fields`` (one picture per field), ``film`` (one per film frame), ``frames`` (one per frame).
        parity: ``tff`` or ``bff``, which field is the earlier one; ``auto``: as each frame says.
        cycle: of ``film``, so many frames hold one repetition, which is left out; 0: none does.
    """

    kind: str
    parity: str = "auto"
    cycle: int = 0

    @property
    def per_frame(self) -> Fraction:
        """Pictures per frame."""
        if self.kind == "fields":
            return Fraction(2)
        return Fraction(self.cycle - 1, self.cycle) if self.cycle else Fraction(1)

    def times(self, times: SourceTimes) -> SourceTimes:
        """When each picture is shown, from when each frame is.

        Two fields share the time of their frame evenly; so do the film frames of a cycle. The film's end stays.
        """
        if self.per_frame == 1:
            return times
        many, few = (2, 1) if self.kind == "fields" else (self.cycle - 1, self.cycle)
        base = times.time_base / many
        end = times.end / base
        groups = [*(pts * many for pts in times.pts[::few]), round(end)]
        pts: list[int] = []
        for here, after in zip(groups, groups[1:]):
            pts += [here + (after - here) * n // many for n in range(many)]
        rest = len(times) % few
        if rest:  # the last cycle is not whole, and decimate leaves out none of its frames
            usual = times.span / len(times) * few / many / base
            pts[-many:] = [groups[-2] + int(usual * n) for n in range(rest)]
        return SourceTimes(pts, base, times.end - pts[-1] * base)

    def frames(self, first: int, stop: int) -> tuple[int, int, int]:
        """For the pictures ``first .. stop - 1``: the frames to read, and which picture is the first that they give.

        Reading starts early and ends late enough for pictures to be what they are in the whole film.
        """
        many, few = (self.cycle - 1, self.cycle) if self.cycle else (int(self.per_frame), 1)
        turns = 2 if self.cycle else 5
        lead = max(0, first // many - turns)
        return lead * few, (-(-stop // many) + turns) * few, lead * many

    def matching(self, picture: av.VideoFrame) -> av.filter.Graph:
        """Fields put together again, and no more."""
        return _graph(picture, [("fieldmatch", f"order={self.parity}:combmatch=none")])

    def graph(self, picture: av.VideoFrame) -> av.filter.Graph:
        """The filters, for frames that are numbered by their ``pts`` in a time base of 1."""
        same = ("format", f"pix_fmts={picture.format.name}")
        if self.kind == "film":
            steps = [("fieldmatch", f"order={self.parity}:combmatch=full")]
            steps += [("bwdif", f"mode=send_frame:parity={self.parity}:deint=interlaced")]
            steps += [("decimate", f"cycle={self.cycle}")] if self.cycle else []
            return _graph(picture, [*steps, same])
        mode = "send_field" if self.kind == "fields" else "send_frame"
        return _graph(picture, [("bwdif", f"mode={mode}:parity={self.parity}:deint=all"), same])


@dataclass(frozen=True)
class Look:
    """What was seen.

    Attributes:
        kind: ``whole``, ``fields`` or ``film``; ``unknown`` where too little moves to tell.
        parity: as in ``View``; ``auto`` where nothing is combed.
        cycle: as in ``View``.
        frames: how many were looked at. combed: how many of them are combed.
    """

    kind: str
    parity: str = "auto"
    cycle: int = 0
    frames: int = 0
    combed: int = 0


def look(path: Path, stream: int, rate: Fraction, claimed: bool, max_pixels: int) -> Look:
    """Looks at the pictures of a film.

    Args:
        claimed: the stream says that it is interlaced: several places are looked at, not the beginning alone.
    """
    count = min(RULE.most_frames, max(RULE.least_frames, round(RULE.look_s * rate)))
    seen = [_judged(partial(decode_frames, path, stream, None, count, max_pixels), claimed)]
    if claimed or seen[0].kind == "unknown":
        places = RULE.places if claimed else RULE.places[:1]
        seen += [
            _judged(partial(decode_frames, path, stream, place, RULE.place_frames, max_pixels), claimed)
            for place in places
        ]
    total = Look(
        "unknown", frames=sum(stretch.frames for stretch in seen), combed=sum(stretch.combed for stretch in seen)
    )
    # Video anywhere outweighs film: matching its fields would leave combs, and bobbing film only repeats frames.
    for kind in ("fields", "film", "whole"):
        alike = [stretch for stretch in seen if stretch.kind == kind]
        if alike:
            best = max(alike, key=lambda stretch: (stretch.cycle > 0, stretch.frames))
            return replace(total, kind=kind, parity=best.parity, cycle=best.cycle)
    return total


def film_look(path: Path, stream: int, rate: Fraction, max_pixels: int) -> Look:
    """What matters for inverse telecine that was asked for: which field comes first, and how many frames repeat one."""
    count = min(RULE.most_frames, max(RULE.least_frames, round(RULE.look_s * rate)))
    frames = partial(decode_frames, path, stream, None, count, max_pixels)
    verdicts = idet_verdicts(frames())
    parity = "bff" if verdicts["bff"] > verdicts["tff"] else "tff"
    usual = 5 if abs(rate - 30) < 1 else 0
    cycle = _Combs(_through(frames(), View("film", parity).matching)).cycle
    return Look("film", parity, cycle or usual, verdicts.total(), verdicts["bff"] + verdicts["tff"])


def _judged(frames: Callable[[], Iterator[av.VideoFrame]], claimed: bool) -> Look:
    """What one stretch of frames, decoded anew with each call, is."""
    verdicts = idet_verdicts(frames())
    tff, bff, whole = verdicts["tff"], verdicts["bff"], verdicts["progressive"]
    combed, judged, count = tff + bff, tff + bff + whole, verdicts.total()
    if count < 3 or judged < max(3, count // 10):
        return Look("unknown", frames=count)
    least = RULE.least_claimed if claimed else RULE.least_combed
    if combed < max(least, RULE.combed * judged) or max(tff, bff) < RULE.one_parity * combed:
        return Look("whole", frames=count)
    parity = "tff" if tff > bff else "bff"
    woven = _Combs(frames())
    if woven.combs < RULE.film_combed * woven.moving:
        return Look("whole", frames=count)
    matched = _Combs(_through(frames(), View("film", parity).matching))
    if matched.combs > RULE.matched * woven.combs:
        share = woven.combs / max(1, woven.moving)
        certain = share >= RULE.fields_certain
        fields = certain or (share >= RULE.fields_combed and _midway(frames(), parity) >= RULE.midway)
        return Look("fields", parity, 0, count, combed) if fields else Look("whole", frames=count)
    return Look("film", parity, matched.cycle, count, combed)


# ------------------------------------------------------------------------------------------------------- frames


def decode_frames(
    path: Path, stream: int, place: Fraction | None, count: int, max_pixels: int
) -> Iterator[av.VideoFrame]:
    """Frames from the beginning, or from a keyframe near a place in the film; none where that cannot be decoded."""
    kind = None
    try:
        with open_media(path, max_pixels) as container:
            chosen = container.streams[stream]
            if place is not None:
                duration = (container.duration or 0) / 1_000_000
                if duration < 4 * RULE.look_s:
                    return
                container.seek(int(float(place) * duration * 1_000_000) + max(0, container.start_time or 0))
            decode = decoder_for(chosen, 2, max_pixels)
            for number, picture in enumerate(decode_packets(container, chosen, decode, lambda what, ticks: None)):
                kind = kind or (picture.width, picture.height, picture.format.name)
                if number == count or kind != (picture.width, picture.height, picture.format.name):
                    return
                yield picture
    except (av.error.FFmpegError, OSError, ValueError):
        return


def _through(
    frames: Iterable[av.VideoFrame], make: Callable[[av.VideoFrame], av.filter.Graph]
) -> Iterator[av.VideoFrame]:
    """What filters make of frames, which are numbered on the way."""
    graph: av.filter.Graph | None = None
    for number, frame in enumerate(frames):
        graph = graph or make(frame)
        frame.pts, frame.time_base = number, Fraction(1)
        graph.push(frame)
        yield from pulled(graph)
    if graph is not None:
        graph.push(None)
        yield from pulled(graph)


def idet_verdicts(frames: Iterable[av.VideoFrame]) -> Counter[str]:
    """idet's word on each frame: tff, bff, progressive or undetermined."""
    if not hasattr(av.VideoFrame, "metadata"):
        return idet_verdicts_by_selection(list(frames))
    judged: Any = _through(frames, lambda frame: _graph(frame, [("idet", "")]))
    return Counter(frame.metadata.get(_VERDICT, "undetermined") for frame in judged)


_VERDICT = "lavfi.idet.single.current_frame"


def idet_verdicts_by_selection(frames: Sequence[av.VideoFrame]) -> Counter[str]:
    """The same where PyAV hands out no metadata of frames (before 18): the frames of each word are let through."""
    counts: Counter[str] = Counter()
    for word in ("tff", "bff", "progressive", "undetermined"):
        steps = [("idet", ""), ("metadata", f"mode=select:key={_VERDICT}:value={word}")]
        counts[word] = sum(1 for _ in _through(frames, lambda frame, steps=steps: _graph(frame, steps)))  # type: ignore[misc]
    return +counts


class _Combs:
    """Pixels that move, and how many of them are combed; and how far each frame is from the one before it."""

    def __init__(self, frames: Iterable[av.VideoFrame]) -> None:
        self.combs = self.moving = 0
        self.apart: list[float] = []
        before: np.ndarray | None = None
        for frame in frames:
            luma = frame.to_ndarray(format="gray").astype(np.int32)
            if before is not None:
                change = np.abs(luma - before)
                moves = change[2:-2] > RULE.seen
                self.moving += int(moves.sum())
                self.combs += int((moves & _combed(luma)).sum())
                self.apart.append(float(change[::2, ::2].mean()))
            before = luma

    @property
    def cycle(self) -> int:
        """Of how many frames one repeats the one before it; 0 if none does regularly."""
        return _cycle(np.array(self.apart))


def _combed(luma: np.ndarray) -> np.ndarray:
    """Which pixels, but for two lines above and below, stick out of both neighbouring lines, as in fieldmatch."""
    a, b, c, d, e = (luma[k : luma.shape[0] - 4 + k] for k in range(5))
    up, down = c - b, c - d
    same = ((up > RULE.seen) & (down > RULE.seen)) | ((up < -RULE.seen) & (down < -RULE.seen))
    return same & (np.abs(a + 4 * c + e - 3 * (b + d)) > 6 * RULE.seen)


def _midway(frames: Iterable[av.VideoFrame], parity: str) -> float:
    """Where something moves, how far the later field is from the earlier one, of how far from the next frame's."""
    same = following = 0.0
    before: np.ndarray | None = None
    for frame in frames:
        luma = frame.to_ndarray(format="gray").astype(np.float32)
        if before is not None:
            rows = np.arange(2 + (parity == "tff"), luma.shape[0] - 1, 2)
            later = before[rows]
            earlier, after = ((picture[rows - 1] + picture[rows + 1]) / 2 for picture in (before, luma))
            moves = np.abs(after - earlier) > RULE.seen
            same += float(np.abs(later - earlier)[moves].sum())
            following += float(np.abs(later - after)[moves].sum())
        before = luma
    return same / following if following else 1.0


def _cycle(apart: np.ndarray) -> int:
    """Of how many frames one repeats the one before it, from how far apart neighbours are; 0 if none does regularly."""
    for cycle in RULE.cycles:
        if len(apart) < 2 * cycle:
            continue
        phases = [float(np.median(apart[phase::cycle])) for phase in range(cycle)]
        usual = float(np.median(phases))
        if usual > 0.1 and min(phases) < RULE.repeated * usual and sorted(phases)[1] > 1.5 * min(phases):
            return cycle
    # What moves now and then tells only then: each turn of five frames has a say if one stands out in it.
    turns = apart[: len(apart) // 5 * 5].reshape(-1, 5)
    ordered = np.sort(turns, axis=1)
    telling = turns[(ordered[:, 0] < RULE.repeated * ordered[:, 2]) & (ordered[:, 1] > 1.5 * ordered[:, 0])]
    votes = Counter(int(place) for place in telling.argmin(axis=1))
    return 5 if len(telling) >= 4 and votes.most_common(1)[0][1] >= 0.7 * len(telling) else 0


# ------------------------------------------------------------------------------------------------------ filters


def _graph(picture: av.VideoFrame, steps: Sequence[tuple[str, str]]) -> av.filter.Graph:
    graph = av.filter.Graph()
    # Not add_buffer: decimate wants a rate, which it cannot give.
    size = f"{picture.width}x{picture.height}"
    last: Any = graph.add(
        "buffer", f"video_size={size}:pix_fmt={picture.format.name}:time_base=1/1:frame_rate=1/1:pixel_aspect=1/1"
    )
    for name, options in steps:
        step = graph.add(name, options) if options else graph.add(name)
        last.link_to(step)
        last = step
    sink = graph.add("buffersink")
    last.link_to(sink)
    graph.configure()
    return graph


def pulled(graph: av.filter.Graph) -> Iterator[av.VideoFrame]:
    """What the filters have ready."""
    while True:
        try:
            yield graph.vpull()
        except (av.error.BlockingIOError, av.error.EOFError):
            return
