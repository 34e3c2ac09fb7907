"""The options of ``interpolate.py``: one table, of which parser, defaults, help, docs and completion are made. Pure.

An option is a field of ``Options`` (films, and what pictures share with them), ``PictureOptions``,
``jobs.style.StyleOptions`` or ``jobs.faces.FaceOptions``, declared by ``option_fields.option``; what has no typed value
here stands in ``INPUT``, ``MODEL``, ``OF_MORPH`` and ``COMPLETION``.
After a change, ``python -m vfi_pipeline.jobs.option_docs`` rewrites the table in docs/interpolate.md.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction

from vfi_pipeline.jobs import values
from vfi_pipeline.jobs.faces import FACES, EditChoice, FaceOptions
from vfi_pipeline.jobs.option_fields import Group, Option, declared, in_groups, names, option
from vfi_pipeline.jobs.option_kinds import (
    AUDIO,
    CODEC,
    DEINTERLACE,
    DEVICE,
    DEVICES,
    DURATION,
    DURATIONS,
    FACTOR,
    FILE,
    FILM_SIZE,
    GAP,
    HWACCEL,
    MOMENT,
    MOMENTS,
    OVERLAY,
    PICTURE_NAME,
    PLACES,
    RATE,
    SEGMENT,
    SETTINGS,
    SHUTTER,
    SIZE,
    STRENGTH,
    SWITCH,
    TEMPLATE,
    TEXT,
    one_of,
    real,
    whether,
    whole,
)
from vfi_pipeline.jobs.style import STYLE, StyleChoice, StyleOptions

TIMING = Group("HOW SMOOTH", "exactly one of fps, multi, slowmo and at")
ANIMATION = Group(
    "ANIMATE PICTURES",
    "two or more pictures in, animation out; one, with weights of a Warping ODE",
    (
        "input=[a.jpg,b.jpg] or a folder of them, and one of duration, durations, frames and t.",
        "With fps= and none of these options, images are a film's frames. size= and fit_size= are further down.",
    ),
)
FILES = Group("IN AND OUT")
MOTION = Group("HOW FRAMES ARE MADE")
JOB = Group("THE JOB")
CLUSTER = Group("SEVERAL GPUS AND MACHINES", "docs/cluster.md")
GROUPS = (TIMING, ANIMATION, FACES, FILES, MOTION, STYLE, JOB, CLUSTER)
"""In the order of the help."""


@dataclass(frozen=True)
class Options:
    """What the user asked of a film; pictures share those that concern both.

    Exactly one of ``fps``, ``multi``, ``slowmo`` and ``at`` is set. Times are seconds from the start of the film.
    """

    inputs: tuple[str, ...]
    style: StyleChoice | EditChoice | None = None
    """What comes of ``StyleOptions``, or of ``FaceOptions``: how source frames are repainted."""

    fps: Fraction | None = option(
        RATE, TIMING, "60", "frames per second of the result; the duration stays. Also 59.94, 23.976, 60000/1001. (Some"
        " tools re-tag the same frames with fps=, which changes the duration. This one never does.)",
        details="59.94, 29.97 and 23.976 mean n·1000/1001. Pictures: 30 where it is not given.",
    )  # fmt: skip
    multi: Fraction | None = option(
        FACTOR, TIMING, "2", "so many times the frames per second of the source; 2.5 and 5/2 work too",
        details="Of pulldown by flags the source's rate is the film's, 24000/1001; less than 1 works as well. `exp=2`"
        " is `multi=4`.",
        concerns="films", aliases=("factor", "m", "interpolate_factor", "frame_rate_mul"),
    )  # fmt: skip
    slowmo: Fraction | None = option(
        FACTOR, TIMING, "4", "slow motion: the same frames per second, four times as long",
        concerns="films", aliases=("slow", "slow_motion"),
    )  # fmt: skip
    at: tuple[Fraction, ...] | None = option(
        MOMENTS, TIMING, "12.48", "one frame of the film at that moment, as a picture (clip_at_12.48.png; output= names"
        " it); at=[1.5,2.25] several", details="A time as for `start=`, also `100/3`; several are written in that order"
        " (`output=frames/%03d.png`).", concerns="films",
    )  # fmt: skip
    audio: str | None = option(
        AUDIO, TIMING, "stretch",
        "sound: keep or drop; in slow motion drop, stretch (keeps the pitch) or silence",
        unset="keep; in slow motion drop", concerns="films",
    )  # fmt: skip

    output: str | None = option(
        FILE, FILES, "FILE", "a file (.mp4 .mkv .mov .webm .gif .webp ...), a folder/, or images: frames/%06d.png",
        unset="beside the input, named by name=", aliases=("o", "out"),
    )  # fmt: skip
    name: str = option(
        TEMPLATE, FILES, "TEMPLATE", "names of files in a folder: {stem}_{fps}fps.{ext}; also {multi} {slowmo} {model},"
        " and of the source {folder} {source_ext}",
        details="In slow motion `{stem}_slow{slowmo}x.{ext}`, of single frames `{stem}_at_{at}.{ext}`, of pictures"
        " `{stem}_animated.{ext}`.",
        default="{stem}_{fps}fps.{ext}", aliases=("template",),
    )  # fmt: skip
    overwrite: bool = option(SWITCH, FILES, "true", "replace an output that exists", default="false", aliases=("y",))
    start: Fraction | None = option(
        MOMENT, FILES, "0:01:30", "only from here: 90.5, 1:30.5, 0:01:30", details="Counted as a player shows it.",
        concerns="films", aliases=("ss", "from"),
    )  # fmt: skip
    end: Fraction | None = option(MOMENT, FILES, "0:02:00", "only up to here", concerns="films", aliases=("to",))
    subtitles: str = option(
        one_of("keep", "drop"), FILES, "drop",
        "leave subtitles out (audio=drop: the sound); everything that the container can hold is kept", default="keep",
    )  # fmt: skip
    input_fps: Fraction | None = option(RATE, FILES, "24", "how fast a film of images is", unset="25", concerns="films")
    stream: int | None = option(
        whole(0, 999, "0"), FILES, "2", "which video stream, by ffmpeg's number, if there are several",
        unset="the first that is no cover picture", concerns="films",
    )  # fmt: skip
    codec: str | None = option(
        CODEC, FILES, "hevc", "h264, hevc, av1, vp9, prores, ffv1, or an ffmpeg encoder's name",
        unset="near-lossless h264 at the source's bit depth, or what the container asks for",
        aliases=("vcodec", "c", "encoder"),
    )  # fmt: skip
    crf: float | None = option(
        real(0, math.inf, "18"), FILES, "18", "the encoder's quality: lower is better and larger",
        details="0 to 51 of h264 and hevc, to 63 of vp9, from 1 to 63 of av1; beyond its own scale it is refused. Of"
        " `.webp` 0 to 100, where higher is better; of `.jpg` 2 to 31.",
    )  # fmt: skip
    preset: str | None = option(TEXT, FILES, "slow", "the encoder's preset")
    pix_fmt: str | None = option(
        TEXT, FILES, "yuv420p10le", "pixel format of the result, by ffmpeg's name",
        unset="as near the source's as can be", aliases=("pixel_format",),
    )  # fmt: skip

    weights: str | None = option(
        FILE, MOTION, "FILE", "other weights for a model that has some",
        details="The name of weights that came with the program, or a file that `train.py` exported; `model=` may then"
        " be left out.",
    )  # fmt: skip
    scene: bool = option(
        SWITCH, MOTION, "off", "do not look for cuts", default="true", concerns="films", aliases=("scenechange",)
    )
    scene_threshold: float = option(
        real(0, 1, "0.5"), MOTION, "0.4", "0.4 finds more cuts, 0.6 fewer", default="0.5", concerns="films",
        aliases=("scene_thresh",),
    )  # fmt: skip
    cuts: str | None = option(
        FILE, MOTION, "FILE.json", "use this list of cuts: [24,48], or the list written beside an earlier output,"
        " edited",
        details="A number is the first frame of a new shot.", concerns="films",
    )  # fmt: skip
    cut: str = option(
        one_of("hold", "blend"), MOTION, "blend", "cross-fade over a cut; hold shows the frame before it",
        default="hold", changes_frames=True, concerns="films",
    )  # fmt: skip
    dedup: bool = option(
        SWITCH, MOTION, "on", "film on twos and threes: re-time repeated frames, same duration", default="false",
        changes_frames=True, concerns="films",
    )  # fmt: skip
    shutter: Fraction | None = option(
        SHUTTER, MOTION, "180", "motion blur: each frame is exposed for that angle of the time from frame to frame"
        " (360: all of it)", details="See *Motion blur*.", default="off", concerns="films",
    )  # fmt: skip
    size: tuple[int, int] | Fraction | None = option(
        FILM_SIZE, MOTION, "1280x720", "another size, or a factor: 2x, 0.5x; of pictures also that of the first,"
        " largest or smallest", details="Width and height as seen (upright, square pixels). See *Another size*; of"
        " pictures [pictures.md](pictures.md).", unset="the source's; of pictures the first one's",
    )  # fmt: skip
    fit_size: str | None = option(
        one_of("crop", "pad", "stretch"), MOTION, "crop", "for a size of another shape: crop, pad (bars) or stretch",
        unset="crop; asked for if much would be cut off",
    )  # fmt: skip
    mask: str | None = option(
        FILE, MOTION, "IMAGE", "white stays as in the nearer source frame: logos, score boards, burnt-in subtitles",
        concerns="films",
    )  # fmt: skip
    overlay: bool = option(
        OVERLAY, MOTION, "off", "logos, subtitles and counters over a moving picture are found and left where they are;"
        " off drags them along", details="See *Overlays*.", default="auto", changes_frames=True, concerns="films",
    )  # fmt: skip
    max_gap: Fraction | None = option(
        GAP, MOTION, "0.5", "seconds without a new frame (variable rate) beyond which the one before is held; off makes"
        " frames", details="See *Timing*.", default="0.5", concerns="films",
    )  # fmt: skip
    deinterlace: str = option(
        DEINTERLACE, MOTION, "auto", "looks at the pictures: one per field of interlaced film, telecine becomes film"
        " again; on, film, off", details="See [input.md](input.md).", default="auto", concerns="films",
    )  # fmt: skip
    scale: float = option(
        real(0.05, 4, "0.5"), MOTION, "0.5", "estimate motion on a picture of half the size: faster, less memory",
        details="Where memory runs out, the size is halved and the log says so. The pictures themselves are always"
        " moved at full size.",
        default="1.0", changes_frames=True, shorthands={"uhd": "0.5"},
    )  # fmt: skip

    dry_run: bool = option(
        SWITCH, JOB, "true", "show the plan (frames, streams kept and lost, disk space) and stop", default="false",
        aliases=("dry",),
    )  # fmt: skip
    status: bool = option(
        SWITCH, JOB, "", "show what is done and what is left: python interpolate.py status output=clip_60fps.mp4",
        default="false",
    )  # fmt: skip
    resume: bool = option(SWITCH, JOB, "false", "forget earlier work on this output and start anew", default="true")
    report: str | None = option(
        FILE, JOB, "FILE.json", "write what was done, with all figures, as JSON; FILE.html: a page to read, with the"
        " moments that the estimate is least sure of, and JSON beside it",
    )  # fmt: skip
    benchmark: bool = option(SWITCH, JOB, "true", "write nothing, measure the speed", default="false")
    device: str = option(DEVICE, JOB, "cpu", "cpu, cuda, cuda:1; auto takes a GPU if there is one", default="auto")
    decode: str = option(
        HWACCEL, JOB, "cuda", "a device decodes, by an ffmpeg that knows it: cuda (NVDEC), vaapi, qsv, videotoolbox,"
        " vulkan...", details="The ffmpeg on PATH, if it lists it (`ffmpeg -hwaccels`; `vfi doctor` says what starts)."
        " Its first frames are compared with software's, and what it does not decode as they do, software decodes; the"
        " log says so.", default="off", concerns="films",
    )  # fmt: skip
    precision: str = option(
        one_of("auto", "fp32", "fp16", "bf16"), JOB, "fp16", "fp32, fp16, bf16, for models that know them",
        default="auto", changes_frames=True, shorthands={"fp16": "fp16", "half": "fp16", "bf16": "bf16"},
    )  # fmt: skip
    allow_damaged: bool = option(
        SWITCH, JOB, "true", "use what can be decoded of a broken file", default="false", changes_frames=True,
        concerns="films",
    )  # fmt: skip
    segment: Fraction = option(
        SEGMENT, JOB, "20", "seconds of source at most between two points that a job can resume from", default="20",
        changes_frames=True,
    )  # fmt: skip
    check_space: bool = option(SWITCH, JOB, "off", "start even if the disk looks too full", default="true")
    max_pixels: int = option(
        whole(1, 10**10, "268435456"),
        JOB,
        "N",
        "refuse larger pictures",
        details="2^28: 16384 x 16384.",
        default="268435456",
    )

    executor: str = option(
        one_of("local", "ray", "slurm"), CLUSTER, "ray", "who makes the segments of one film: local (this machine), ray"
        " (a Ray cluster) or slurm (an array job)", details="See [cluster.md](cluster.md).", default="local",
        concerns="films",
    )  # fmt: skip
    workers: int | None = option(
        whole(1, 10_000, "2"), CLUSTER, "2", "how many processes work on the film; they share this machine's"
        " processors, or are spread over the cluster",
        unset="one for each of devices=; for ray what the cluster has room for", concerns="films",
    )  # fmt: skip
    devices: tuple[str, ...] | None = option(
        DEVICES, CLUSTER, "all", "several GPUs of this machine, a process for each: all, or [cuda:0,cuda:1]",
        concerns="films",
    )  # fmt: skip
    worker_cpus: int = option(
        whole(1, 1024, "4"), CLUSTER, "4", "ray and slurm: processors of each worker", default="1", concerns="films"
    )
    address: str | None = option(
        TEXT, CLUSTER, "HOST:6379", "ray: a cluster that runs (auto: this machine's)", unset="one of its own, on this"
        " machine", concerns="films",
    )  # fmt: skip
    slurm: tuple[tuple[str, str], ...] | None = option(
        SETTINGS, CLUSTER, "[partition=gpu,timeout_min=240]", "slurm: settings of the array job, by submitit's names",
        concerns="films",
    )  # fmt: skip

    @property
    def distributed(self) -> bool:
        """Whether the frames are made by worker processes, not by this one."""
        return self.executor != "local" or self.devices is not None or (self.workers or 1) > 1

    @property
    def timing(self) -> str:
        """The timing option as typed, for messages and names: ``fps=60``."""
        if self.at is not None:
            return f"at={values.moments_text(self.at)}"
        if self.fps is not None:
            return f"fps={values.rate_text(self.fps)}"
        name, factor = ("multi", self.multi) if self.multi is not None else ("slowmo", self.slowmo)
        return f"{name}={float(factor or 0):g}"


@dataclass(frozen=True)
class PictureOptions:
    """What was asked of the pictures. Times in seconds; ``t`` counts gaps: 0 the first picture, 1 the second...

    Exactly one of ``duration``, ``durations``, ``frames`` and ``places`` (the values of ``t=``) is set.
    """

    duration: Fraction | None = option(
        DURATION, ANIMATION, "2", "seconds, without the holds, at fps=30 unless told", concerns="pictures"
    )
    durations: tuple[Fraction, ...] | None = option(
        DURATIONS, ANIMATION, "[2,1.5]", "seconds of each gap between two pictures", concerns="pictures"
    )
    frames: int | None = option(
        whole(1, 1_000_000, "48"), ANIMATION, "48", "how many frames, without the holds", concerns="pictures"
    )
    places: tuple[Fraction, ...] | None = option(
        PLACES, ANIMATION, "0.37", "one frame instead; t=[0.1,0.5] several (0 is the first picture, 1 the second, 2 the"
        " third...)", name="t", concerns="pictures",
    )  # fmt: skip
    loop: bool = option(
        SWITCH, ANIMATION, "true", "back to the first picture at the end", default="false", concerns="pictures"
    )
    hold_first: Fraction = option(
        MOMENT, ANIMATION, "0.5", "seconds more that the first picture stays", default="0", concerns="pictures"
    )
    hold_last: Fraction = option(
        MOMENT, ANIMATION, "1", "seconds more that the last picture stays", default="0", concerns="pictures"
    )
    smooth: bool = option(
        whether("smooth", "linear"), ANIMATION, "smooth", "rest at every picture", name="easing", default="linear",
        concerns="pictures",
    )  # fmt: skip
    extrapolate: bool = option(
        SWITCH, ANIMATION, "true", "allow t and strength outside of 0 to 1", default="false", concerns="pictures"
    )
    strength: tuple[Fraction, Fraction] = option(
        STRENGTH, ANIMATION, "1.5", "how far to go with one picture or pair; from and to: [-0.5,1.5]. Outside of 0 to"
        " 1, like t=, only with extrapolate=true", default="1", concerns="pictures",
    )  # fmt: skip
    backward: bool = option(
        whether("backward", "forward"), ANIMATION, "backward", "one picture: undo what the weights learned",
        name="direction", default="forward", concerns="pictures",
    )  # fmt: skip
    size: str = option(
        SIZE, ANIMATION, "1280x720", "size of the result: first, largest, smallest (picture), or 1280x720",
        default="first",
    )  # fmt: skip
    fit_size: str | None = option(
        one_of("crop", "pad", "stretch"), ANIMATION, "crop", "pictures of another shape: crop, pad (bars) or stretch",
        unset="crop; asked for if much would be cut off",
    )  # fmt: skip
    points: str | None = option(
        FILE, ANIMATION, "FILE.json", "pairs of points that belong together: [[[12,30],[14,33]],...]; a wish, never"
        " needed", concerns="pictures",
    )  # fmt: skip
    sheet: str | None = option(
        PICTURE_NAME, ANIMATION, "FILE.png", "contact sheet: frames over t, both one-sided results, motion, Jacobian,"
        " velocity", concerns="pictures",
    )  # fmt: skip
    preview: str | None = option(
        PICTURE_NAME, ANIMATION, "FILE.png", "the frame half-way, while it is being solved; of a film in a style the"
        " frame painted last",
    )  # fmt: skip
    save_maps: bool = option(
        SWITCH, ANIMATION, "true", "keep the solved maps, as pictures too", default="false", concerns="pictures"
    )
    maps: str | None = option(
        FILE, ANIMATION, "FILE.maps.safetensors", "render saved maps again, at any size, without solving",
        concerns="pictures",
    )  # fmt: skip
    # A seed alone does not say that the input is no film.
    seed: int = option(whole(0, 2**31 - 1, "0"), ANIMATION, "0", "the same seed gives the same result", default="0")


INPUT = Option(
    "input", FILE, FILES, "FILE", "a video, a folder of videos (each is done), a folder of images or a pattern such as"
    ' "shots/*.png" or shot_%04d.png (one film; input_fps=24 says how fast). May be given several times',
    aliases=("i", "video", "img", "in"),
)  # fmt: skip
MODEL = Option(
    "model", TEXT, MOTION, "flow", "how motion is estimated: flow (learned; for films), fit and morph (fitted to each"
    " pair; for pictures), dfi (one picture: an attribute), blend (cross-fade), hold (repeat); model.KEY=VALUE sets an"
    " option of the model",
    details="The options of a model stand in `conf/model/`.", unset="flow; of pictures fit; or what weights= are for",
)  # fmt: skip
OF_MORPH = tuple(
    Option(name, kind, ANIMATION, example, f"model=morph: {line}", concerns="pictures", of_model=True)
    for name, kind, example, line in (
        ("mult", TEXT, "0.4", "strength of the change of brightness and colour"),
        ("add", TEXT, "0.4", "strength of what is painted over"),
        ("warp", TEXT, "0.05", "strength of the motion"),
        ("add_first", SWITCH, "true", "add before multiplying (model.variant=original)"),
        ("steps", TEXT, "1000", "steps of descent"),
    )
)
"""Settings of ``model=morph`` that are typed without ``model.`` in front; conf/model/morph.yaml has the defaults."""
COMPLETION = Option(
    "completion", one_of("bash"), JOB, "bash", 'print completion for the shell: eval "$(python interpolate.py'
    ' --completion bash)"',
)  # fmt: skip


def table_of(*kinds: type) -> tuple[Option, ...]:
    """All options in the order of the help: the fields of dataclasses, and the options that have none.

    An option that two of them read differently (``size``) is listed once, as the first has it.
    """
    rows = [INPUT, MODEL, *(row for kind in kinds for row in declared(kind).values()), *OF_MORPH, COMPLETION]
    listed = {row.name: row for row in reversed(rows)}
    groups = in_groups(listed[name] for name in dict.fromkeys(names(rows)))
    return tuple(row for group in dict.fromkeys((*GROUPS, *groups)) for row in groups.get(group, ()))


TABLE = table_of(Options, PictureOptions, FaceOptions, StyleOptions)
