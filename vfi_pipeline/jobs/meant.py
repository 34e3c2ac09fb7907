"""What a word that is no option of ``interpolate.py`` means in other programs, and what to type here instead. Pure.

The words are those of ffmpeg, of RIFE's and other interpolators' scripts, SVP, Flowframes and Topaz. Names that are
accepted as they stand are aliases in ``jobs.option_table``.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Collection, Iterable, Sequence

from vfi_pipeline.errors import UserError
from vfi_pipeline.jobs.option_fields import Option

_OPTIONS = {
    "input": "f file files film source src infile input_file input_path inputs in_file input_dir indir input_folder"
    " folder dir clip movie videos images image frames_dir img_dir",
    "output": "outfile out_file output_file output_path outpath dest destination target result out_dir outdir"
    " output_dir output_folder save save_to saveto",
    "fps": "r rate framerate frame_rate r:v target_fps output_fps out_fps outfps new_fps to_fps fps_out tgt_fps"
    " target_rate hz refresh_rate",
    "multi": "times multiplier factor_multi interp interpolation interp_factor n_frames num_interp x intermediate"
    " inter_frames mul",
    "slowmo": "slomo slow_mo slowmotion slowdown slow_down",
    "start": "begin from_time trim_start start_time starttime begin_time skip",
    "end": "stop until trim_end end_time endtime stop_time",
    "at": "moment timestamp time frame_at snapshot still",
    "codec": "c:v codec:v video_codec vencoder enc encode",
    "crf": "q quality qscale qscale:v q:v qp cq cqp rf constant_quality",
    "preset": "encoder_preset",
    "pix_fmt": "pixfmt pixel_fmt pixelformat color_format",
    "size": "s resolution res scale_to width height w resize dimensions output_size out_size image_size",
    "fit_size": "fit crop pad letterbox stretch aspect_mode",
    "model": "algorithm algo method mi_mode network net engine interpolator",
    "weights": "checkpoint ckpt pth model_path model_dir modeldir pretrained weight load",
    "scene_threshold": "scd_threshold scene_detect_threshold scenecut scdet_threshold sensitivity",
    "scene": "scd scdet scene_detect scene_detection scene_change",
    "dedup": "duplicates deduplicate dedupe remove_duplicates mpdecimate decimate skip_duplicates",
    "shutter": "blur motion_blur motionblur shutter_angle mb",
    "overlay": "logo hud osd ui watermark",
    "deinterlace": "interlace interlaced yadif bwdif deint field",
    "input_fps": "fps_in in_fps source_fps src_fps input_rate input_framerate start_fps",
    "stream": "map video_stream vid track",
    "device": "gpu gpu_id gpuid g cuda cuda_device accelerator",
    "decode": "hwaccel hwaccel_output_format hw_decode hardware_decoding nvdec decoder c:v:0",
    "precision": "dtype fp32 float16",
    "overwrite": "force replace yes",
    "dry_run": "plan simulate check test_run",
    "resume": "restart continue",
    "segment": "chunk chunk_size chunks segment_length",
    "report": "json stats log_file report_file",
    "max_gap": "gap maxgap",
    "subtitles": "subs subtitle",
}
MEANINGS = {word: option for option, words in _OPTIONS.items() for word in words.split()}

REMEDIES = {
    **dict.fromkeys(
        ("b", "b:v", "bitrate", "vb", "video_bitrate", "maxrate", "target_bitrate"),
        "crf=18 (the quality decides the bitrate: lower is better and larger).",
    ),
    **dict.fromkeys(("an", "mute", "noaudio", "no_sound", "nosound", "remove_audio"), "audio=drop."),
    **dict.fromkeys(("sn", "no_subs", "nosubs"), "subtitles=drop."),
    **dict.fromkeys(("ivtc", "detelecine", "pulldown", "telecine", "inverse_telecine"), "deinterlace=film."),
    **dict.fromkeys(
        ("speed", "setpts", "playback_speed"), "slowmo=4 to slow down, or preset= for the encoder's speed."
    ),
    **dict.fromkeys(
        ("ext", "extension", "format", "container", "out_format", "output_format"),
        "output=NAME.mkv (the ending says which container).",
    ),
    **dict.fromkeys(("tile", "tiles", "tile_size", "lowmem", "low_memory"), "scale=0.5 (less memory)."),
    **dict.fromkeys(("n", "n:v", "vframes", "frames:v", "num_frames"), "start= and end= for a part of a film."),
    **dict.fromkeys(
        ("vf", "filter:v", "filter", "filter_complex", "filters"),
        "ffmpeg's filters before or after this program; size=, deinterlace= and shutter= are here.",
    ),
    **dict.fromkeys(("c:a", "acodec", "codec:a", "b:a", "ab"), "leave it out: sound is copied as it is (audio=drop)."),
}

ALL = "python interpolate.py --help lists all"


def foreign_option(
    name: str, shown: str, value: str | None, table: Iterable[Option], option_names: Collection[str]
) -> UserError | None:
    """The error for an option of other programs, saying what to type here; None for a word that means nothing.

    Args:
        name: as typed, dashes in front aside. shown: with them.
        value: what was typed as its value, if anything was.
        option_names: the options that there are.
    """
    plain = name.lower().replace("-", "_")
    problem = f"There is no option {shown!r}."
    if plain in REMEDIES:
        return UserError(problem, REMEDIES[plain])
    row = _row(MEANINGS.get(plain), table)
    if row is None or row.name not in option_names:
        return None
    says = re.split(r"[;.(] ?", row.line)[0].rstrip(" ,")
    return UserError(problem, f"{row.name}={_value(row, value)} ({says}).")


def _row(name: str | None, table: Iterable[Option]) -> Option | None:
    return next((row for row in table if row.name == name), None)


def _value(row: Option, value: str | None) -> str:
    """The typed value where the option takes it, else the option's example."""
    if value:
        try:
            row.kind.read(row.name, value)
        except UserError:
            value = None
    if row.name == "crf" and value and float(value) > 51:  # another scale, as a JPEG's quality
        value = None
    return shlex.quote(value) if value else row.example


def misspelt(
    word: str, rest: Sequence[str], name: str, table: Iterable[Option], files: Collection[str]
) -> UserError | None:
    """The error for an option whose ``=`` has spaces around it or is missing; None if nothing of that is seen.

    Args:
        word, rest: as typed, and what comes behind.
        name: the option that ``word`` names, before its ``=``; ``""`` if it names none.
        files: those of ``word`` and the one behind it that are files.
    """
    if not name:
        return None
    after = rest[0] if rest else ""
    if after.startswith("=") and after not in files and "=" not in word:
        return _spaced(name, after[1:] or "".join(rest[1:2]))
    alone = not after or "=" in after or after.startswith("-")  # nothing behind that may be its value
    if re.fullmatch(r"-*[^=]+=", word) and not alone:
        return _spaced(name, after) if name == "input" or after not in files else None
    if re.match(r"[^-][^=]+$", word) and word not in files and name != "status":
        row = _row(name, table)
        value = shlex.quote(after) if not alone else row.example if row else "..."
        return UserError(f"{word} is an option, and no file is called so.", f"{name}={value} ({ALL} options).")
    return None


def _spaced(name: str, value: str) -> UserError:
    shown = shlex.quote(value) if value else "..."
    return UserError(f"There are spaces around the = of {name}.", f"{name}={shown} (no spaces around the =).")
