"""Small clips for tests, made with ffmpeg from generated planes, so that every sample's right value is known.

    clip = make_clip(tmp_path / "a.mkv", rate="24000/1001", frames=24, size=(64, 48), pix_fmt="yuv420p10le")
    planes(3, (64, 48), "yuv420p10le")          # what frame 3 of it holds

The codec goes by the name's suffix and is lossless for .mkv (ffv1), .nut (ffv1) and .avi (ffv1); .mp4 and .mov are x264
with qp 0 where the format allows it, .webm is VP9 lossless, .ts is MPEG-2 (lossy).
"""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import numpy as np

from vfi_pipeline.media import ffmpeg
from vfi_pipeline.media.frames import pixel_format

SIZE = (64, 48)  # width, height; never square
ALWAYS = ["-nostdin", "-hide_banner", "-loglevel", "error", "-y"]
CODECS = {
    ".mkv": ["-c:v", "ffv1"],
    ".nut": ["-c:v", "ffv1"],
    ".avi": ["-c:v", "ffv1"],
    ".mp4": ["-c:v", "libx264", "-qp", "0", "-preset", "ultrafast"],
    ".mov": ["-c:v", "libx264", "-qp", "0", "-preset", "ultrafast"],
    ".webm": ["-c:v", "libvpx-vp9", "-lossless", "1", "-cpu-used", "8", "-deadline", "realtime"],
    ".ts": ["-c:v", "mpeg2video", "-q:v", "2"],
    ".gif": ["-c:v", "gif"],
}
AUDIO = {
    ".mp4": "aac", ".mov": "aac", ".ts": "mp2", ".webm": "libopus", ".mkv": "flac", ".nut": "flac", ".avi": "pcm_s16le",
}  # fmt: skip
SUBTITLES = {".mp4": "mov_text", ".mov": "mov_text", ".webm": "webvtt", ".mkv": "subrip"}


# ------------------------------------------------------------------------------------------------------- pictures


def planes(
    n: int, size: tuple[int, int] = SIZE, pix_fmt: str = "yuv420p", content: str = "noise"
) -> tuple[np.ndarray, ...]:
    """The planes of frame ``n``, in memory order, each (h, w) of the format's dtype.

    ``content``: ``noise`` (new random samples in each frame, whole code range), ``motion`` (a soft texture that moves
    2 px right and 1 px down per frame), ``grey`` (mid-range), ``ramp`` (from 0 to peak, left to right).
    """
    form = pixel_format(pix_fmt)
    width, height = size
    made = []
    for index, plane in enumerate(form.planes):
        h, w = form.plane_size(index, width, height)
        if content == "noise":
            rng = np.random.default_rng([n, index, width, height])
            samples = rng.integers(0, form.peak + 1, (h, w))
        elif content == "motion":
            y, x = np.mgrid[0:h, 0:w].astype(float)
            x, y = x * plane.sub_x - 2 * n, y * plane.sub_y - n
            wave = np.sin(x / 5.3 + index) * np.cos(y / 4.1)
            wave += 0.6 * np.sin((x + 2 * y) / 11.7) + 0.4 * np.cos(x / 2.9 - y / 7)
            samples = np.round((wave / 4.2 + 0.5) * form.peak)
        elif content == "grey":
            samples = np.full((h, w), (form.peak + 1) // 2)
        elif content == "ramp":
            samples = np.broadcast_to(np.round(np.linspace(0, form.peak, w)), (h, w))
        else:
            raise ValueError(content)
        made.append(samples.astype(form.dtype))
    return tuple(made)


def raw_bytes(frames: int, size: tuple[int, int], pix_fmt: str, content: str = "noise") -> bytes:
    """``frames`` frames as ffmpeg's rawvideo."""
    return b"".join(plane.tobytes() for n in range(frames) for plane in planes(n, size, pix_fmt, content))


# ---------------------------------------------------------------------------------------------------------- clips


def make_clip(
    path: Path,
    *,
    rate: str | int = 25,
    frames: int = 12,
    size: tuple[int, int] = SIZE,
    pix_fmt: str = "yuv420p",
    content: str = "motion",
    store_as: str | None = None,
    codec: Sequence[str] | None = None,
    times: Sequence[float | Fraction] | None = None,
    start: float = 0,
    audio: Sequence[str] = (),
    audio_delay: float = 0,
    audio_duration: float | None = None,
    subtitles: Sequence[str] = (),
    chapters: int = 0,
    rotation: int = 0,
    mirrored: bool = False,
    sample_aspect: str | None = None,
    colour: dict[str, str] | None = None,
    tags: dict[str, str] | None = None,
    cover: bool = False,
    font: bool = False,
    interlaced: bool = False,
    extra: Sequence[str] = (),
) -> Path:
    """Make a clip at ``path`` (its suffix says which container) and return ``path``.

    Args:
        rate: frames per second, as ffmpeg takes it.
        pix_fmt: a planar working format: what ``planes`` makes. ``store_as`` converts it on the way (``nv12``...).
        codec: encoder options instead of those that go with the suffix.
        times: VFR: when each frame is shown, in seconds; there are as many frames as times.
        start: all streams begin so many seconds after 0.
        audio: a language for each audio track: a sine of 440 Hz, 660 Hz...
        audio_delay, audio_duration: seconds; the audio lasts as long as the video by default.
        subtitles: a language for each text subtitle track, of two lines.
        chapters: how many, of equal length.
        rotation, mirrored: a display matrix: turn clockwise by so many degrees, after flipping left to right.
        sample_aspect: as ``32/27``.
        colour: ``colorspace``, ``color_primaries``, ``color_trc``, ``color_range``, ``chroma_sample_location``.
        cover: also a cover picture (mp4, mkv). font: also an attachment (mkv).
        interlaced: encode as interlaced, top field first (MPEG-2 and x264).
        extra: more output options.
    """
    path = Path(path)
    suffix = path.suffix.lower()
    frames = len(times) if times is not None else frames
    rate = Fraction(rate)
    duration = float(times[-1] + 1 / rate) if times is not None else float(frames / rate)
    side = path.with_name(path.name + ".parts")
    side.mkdir()

    inputs = ["-f", "rawvideo", "-pixel_format", pix_fmt, "-video_size", f"{size[0]}x{size[1]}"]
    if colour and "color_range" in colour:  # else ffmpeg may take full-range samples for limited ones and rescale them
        inputs += ["-color_range", colour["color_range"]]
    inputs += ["-framerate", str(rate), "-i", "pipe:0"]
    maps, options, count = ["-map", "0:v"], [], 1
    for n, language in enumerate(audio):
        length = duration if audio_duration is None else audio_duration
        tone = f"sine=frequency={440 + 220 * n}:duration={length}:sample_rate=48000"
        inputs += ["-itsoffset", str(audio_delay), "-f", "lavfi", "-i", tone]
        maps += ["-map", f"{count}:a"]
        options += [f"-metadata:s:a:{n}", f"language={language}"]
        count += 1
    for n, language in enumerate(subtitles):
        text = side / f"{language}{n}.srt"
        half = f"00:00:00,{min(999, round(duration * 500)):03d}"
        text.write_text(f"1\n00:00:00,000 --> {half}\nHello {language}\n\n2\n{half} --> 00:00:01,000\nBye {language}\n")
        inputs += ["-f", "srt", "-i", ffmpeg.file_url(text)]
        maps += ["-map", f"{count}:s"]
        options += [f"-metadata:s:s:{n}", f"language={language}"]
        count += 1
    if chapters:
        text = ";FFMETADATA1\n"
        for n in range(chapters):
            begin, end = (round(duration * 1000 * k / chapters) for k in (n, n + 1))
            text += f"[CHAPTER]\nTIMEBASE=1/1000\nSTART={begin}\nEND={end}\ntitle=Part {n + 1}\n"
        (side / "chapters.txt").write_text(text)
        inputs += ["-f", "ffmetadata", "-i", ffmpeg.file_url(side / "chapters.txt")]
        options += ["-map_chapters", str(count)]
        count += 1
    if cover:
        make_picture(side / "cover.png", (32, 32), "gbrp")
        if suffix == ".mkv":  # Matroska keeps a cover as an attachment, which ffmpeg shows as a video stream
            options += ["-attach", str(side / "cover.png"), "-metadata:s:t:0", "mimetype=image/png"]
        else:
            inputs += ["-f", "png_pipe", "-i", ffmpeg.file_url(side / "cover.png")]
            maps += ["-map", f"{count}:v"]
            options += ["-c:v:1", "mjpeg", "-disposition:v:1", "attached_pic"]
            count += 1
    if font:
        (side / "font.ttf").write_bytes(b"\x00\x01\x00\x00" + bytes(60))
        options += ["-attach", str(side / "font.ttf")]
        options += [f"-metadata:s:t:{int(cover)}", "mimetype=application/x-truetype-font"]

    chain = []
    if times is not None:
        terms = "+".join(f"eq(N\\,{n})*{round(float(t) * 90000)}" for n, t in enumerate(times))
        chain.append(f"settb=1/90000,setpts={terms}")
        options += ["-fps_mode:v:0", "passthrough", "-enc_time_base:v:0", "1:90000"]
    if store_as:
        chain.append(f"format={store_as}")
    if sample_aspect:
        chain.append(f"setsar={sample_aspect}")
    if interlaced:
        chain.append("setfield=tff")
    if colour:
        names = {"colorspace": "colorspace", "color_primaries": "color_primaries", "color_trc": "color_trc"}
        chain.append("setparams=" + ":".join(f"{names[k]}={v}" for k, v in colour.items() if k in names))
        chain[-1:] = [] if chain[-1] == "setparams=" else chain[-1:]
        options += [part for key, value in colour.items() for part in (f"-{key}:v:0", value)]
    if chain:
        options += ["-filter:v:0", ",".join(chain)]
    options += [opt.replace("-c:v", "-c:v:0") for opt in (codec or CODECS[suffix])]
    if audio:
        options += ["-c:a", AUDIO[suffix]]
    if subtitles:
        options += ["-c:s", SUBTITLES[suffix]]
    if interlaced:
        options += ["-flags:v:0", "+ildct+ilme"]
    for key, value in (tags or {}).items():
        options += ["-metadata", f"{key}={value}"]
    if start:
        options += ["-output_ts_offset", str(start)]

    turned = rotation or mirrored
    target = side / f"upright{suffix}" if turned else path
    command = [*ALWAYS, *inputs, *maps, *options, *extra, "-threads", "2", ffmpeg.file_url(target)]
    ffmpeg.run(command, doing=f"making {path.name}", stdin=raw_bytes(frames, size, pix_fmt, content))
    if turned:
        # ffmpeg turns against the clock, and flips after it has turned: flip, turn = turn the other way, flip.
        matrix = ["-display_rotation:v:0", str(rotation if mirrored else -rotation)]
        matrix += ["-display_hflip:v:0"] if mirrored else []
        source = ["-i", ffmpeg.file_url(target), "-map", "0", "-c", "copy"]
        ffmpeg.run([*ALWAYS, *matrix, *source, ffmpeg.file_url(path)], doing=f"turning {path.name}")
    for part in sorted(side.iterdir()):
        part.unlink()
    side.rmdir()
    return path


def make_picture(
    path: Path, size: tuple[int, int] = SIZE, pix_fmt: str = "gbrp", n: int = 0, content: str = "noise"
) -> Path:
    """A still of frame ``n`` (``planes(n, size, pix_fmt, content)``); PNG, TIFF and BMP are lossless."""
    command = [*ALWAYS, "-f", "rawvideo", "-pixel_format", pix_fmt, "-video_size", f"{size[0]}x{size[1]}"]
    command += ["-i", "pipe:0"]
    store = {"gbrp": "rgb24", "gbrap": "rgba", "gbrp16le": "rgb48be", "gbrap16le": "rgba64be", "gray16le": "gray16be"}
    if path.suffix.lower() in (".png", ".tif", ".tiff"):
        convert = store.get(pix_fmt, pix_fmt)
        if path.suffix.lower() != ".png":
            convert = convert.replace("be", "le")
        command += ["-pix_fmt", convert]
    elif path.suffix.lower() == ".bmp":
        command += ["-pix_fmt", "bgra" if "a" in pix_fmt else "bgr24"]
    command += ["-frames:v", "1", "-f", "image2", "-update", "1", ffmpeg.file_url(path)]
    data = b"".join(plane.tobytes() for plane in planes(n, size, pix_fmt, content))
    ffmpeg.run(command, doing=f"making {path.name}", stdin=data)
    return path


def make_pictures(
    folder: Path,
    frames: int = 5,
    pattern: str = "img{n}.png",
    size: tuple[int, int] = SIZE,
    pix_fmt: str = "gbrp",
    content: str = "motion",
) -> list[Path]:
    """An image sequence in ``folder`` (made if missing), numbered from 1; returns the paths in order."""
    folder.mkdir(parents=True, exist_ok=True)
    return [make_picture(folder / pattern.format(n=n + 1), size, pix_fmt, n, content) for n in range(frames)]


# --------------------------------------------------------------------------------------------------- ready-made


def vfr_clip(path: Path, **options: object) -> Path:
    """Variable frame rate: mostly 30 fps, a gap of 100 ms before frame 5, then 24 fps, with jitter of a few ms."""
    times = [0, 0.033, 0.067, 0.101, 0.132, 0.233, 0.275, 0.316, 0.358, 0.400, 0.442]
    return make_clip(path, **{"rate": 30, "times": times, **options})


def full_clip(path: Path, **options: object) -> Path:
    """Two audio tracks, two subtitle tracks, three chapters and tags; 24000/1001 fps."""
    return make_clip(
        path,
        **{
            "rate": "24000/1001", "frames": 24, "audio": ("eng", "ger"), "subtitles": ("eng", "fre"), "chapters": 3,
            "tags": {"title": "A film", "comment": "made for a test"}, **options,
        },
    )  # fmt: skip


def cut_clip(
    path: Path, shot: int = 8, shots: int = 3, size: tuple[int, int] = SIZE, rate: str | int = 24, **options
) -> Path:
    """``shots`` shots of ``shot`` frames, flat colours apart by more than any motion: a mixture is a new colour."""
    width, height = size
    data = bytearray()
    for k in range(shots):
        level = 40 + 160 * (k % 2) + 10 * k
        for n in range(shot):
            luma = np.full((height, width), level, np.uint8)
            luma[:, (4 * n) % width] = level + 20  # something moves
            data += luma.tobytes() + bytes([90 + 60 * (k % 2)]) * (2 * -(-width // 2) * -(-height // 2))
    command = [*ALWAYS, "-f", "rawvideo", "-pixel_format", "yuv420p", "-video_size", f"{width}x{height}"]
    command += ["-framerate", str(rate), "-i", "pipe:0", *CODECS[Path(path).suffix], *options.get("extra", ())]
    ffmpeg.run([*command, ffmpeg.file_url(path)], doing="making cuts", stdin=bytes(data))
    return Path(path)


def duplicated_clip(
    path: Path, frames: int = 8, each: int = 2, size: tuple[int, int] = SIZE, rate: str | int = 24
) -> Path:
    """Animation on twos: ``frames`` different frames, each shown ``each`` times at ``rate``."""
    pictures = [b"".join(plane.tobytes() for plane in planes(n, size, content="motion")) for n in range(frames)]
    data = b"".join(picture * each for picture in pictures)
    command = [*ALWAYS, "-f", "rawvideo", "-pixel_format", "yuv420p", "-video_size", f"{size[0]}x{size[1]}"]
    command += ["-framerate", str(rate), "-i", "pipe:0", *CODECS[Path(path).suffix]]
    ffmpeg.run([*command, ffmpeg.file_url(path)], doing="making twos", stdin=data)
    return Path(path)


def gif_clip(path: Path, delays_cs: Sequence[int] = (10, 5, 20, 10), size: tuple[int, int] = SIZE) -> Path:
    """A GIF with transparent pixels whose frames are shown for ``delays_cs`` hundredths of a second."""
    from PIL import Image

    width, height = size
    frames = []
    for n in range(len(delays_cs)):
        picture = Image.new("RGBA", size, (0, 0, 0, 0))
        picture.paste((200, 30 * n, 60, 255), (4 * n, 4, 4 * n + width // 3, height // 2))
        frames.append(picture)
    frames[0].save(
        path, save_all=True, append_images=frames[1:], duration=[10 * d for d in delays_cs], loop=0, disposal=2
    )
    return Path(path)


def webm_alpha_clip(path: Path, frames: int = 6, size: tuple[int, int] = SIZE) -> Path:
    """VP9 with an alpha plane (alpha_mode=1), lossless in both."""
    return make_clip(
        path, frames=frames, size=size, pix_fmt="yuva420p",
        codec=["-c:v", "libvpx-vp9", "-lossless", "1", "-cpu-used", "8", "-auto-alt-ref", "0"],
    )  # fmt: skip


def describe(path: Path) -> dict:
    """What ffmpeg itself decodes: ``frames``, ``pts``, ``md5`` of each, ``time_base``; a witness beside our reader."""
    exact = ["-fps_mode", "passthrough", "-copyts", "-enc_time_base", "demux", "-noautorotate"]
    command = [*ALWAYS, exact[-1], "-i", ffmpeg.file_url(path), "-map", "0:v:0", *exact[:-1]]
    command += ["-f", "framemd5", "pipe:1"]
    said = ffmpeg.run(command, doing="describing")
    lines = [line for line in said.stdout.decode().splitlines() if line and not line.startswith("#")]
    header = [line for line in said.stdout.decode().splitlines() if line.startswith("#")]
    fields = [line.split(",") for line in lines]
    return {
        "frames": len(fields), "pts": [int(f[2]) for f in fields], "md5": [f[5].strip() for f in fields],
        "time_base": next((h.split(" ")[-1] for h in header if h.startswith("#tb")), None),
    }  # fmt: skip
