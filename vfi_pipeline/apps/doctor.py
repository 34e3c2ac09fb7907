"""What this machine has, what the defaults will use, and whether a film comes out: ``vfi doctor``.

Nothing here fails: what cannot be found out or does not work is a problem with a remedy in the result.
"""

from __future__ import annotations

import logging
import os
import platform
import shutil
import sys
import tempfile
import textwrap
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path
from typing import Any, TypeVar

import vfi_pipeline
from vfi_pipeline import extras
from vfi_pipeline.configuration import compose_model, conf_folder
from vfi_pipeline.errors import UserError
from vfi_pipeline.jobs.method import resolve_device
from vfi_pipeline.jobs.space import free_bytes
from vfi_pipeline.jobs.values import size_text
from vfi_pipeline.media import ffmpeg
from vfi_pipeline.media.codecs import CODECS
from vfi_pipeline.media.encoders import choose_encoding
from vfi_pipeline.media.encoding import VideoSpec

T = TypeVar("T")

HARDWARE = ("_nvenc", "_qsv", "_amf", "_vaapi", "_videotoolbox", "_vulkan", "_mf", "_v4l2m2m", "_rkmpp")
"""How ffmpeg's names of encoders on a device end."""

LITTLE_DISK, LITTLE_MEMORY = 5 * 10**9, 2 * 10**9
"""Bytes below which a film of ordinary length is likely to stop half-way."""

COLUMN = 14
WIDTH = 100


def examine(folder: Path, trial: bool = True) -> dict[str, Any]:
    """Facts of the machine, as plain values for JSON.

    Args:
        folder: where results would go.
        trial: also make a film of six small frames by the defaults, from file to file.

    Returns:
        ``problems`` are what keeps films from being made, ``notes`` what does not, each {"problem", "remedy"};
        ``ok``: there are no problems.
    """
    problems: list[dict[str, str]] = []

    def tried(find: Callable[[], T], remedy: str = 'pip install --force-reinstall "vfi-pipeline"') -> T | None:
        try:
            return find()
        except UserError as error:
            _note(problems, str(error.args[0]), str(error.args[1]))
        except Exception as error:  # a broken library: what it says is all there is to tell
            _note(
                problems, f"{type(error).__name__}: {str(error).strip().splitlines()[0] if str(error) else ''}", remedy
            )
        return None

    facts: dict[str, Any] = {
        "version": vfi_pipeline.__version__,
        "python": {"version": platform.python_version(), "path": sys.executable},
        "system": platform.platform(),
        "cpus": _cpus(),
        "conf": str(conf_folder()),
        "torch": tried(torch_facts, "pip install --force-reinstall torch"),
        "gpus": tried(_gpus) or [],
        "ffmpeg": tried(lambda: {"path": ffmpeg.ffmpeg_path(), "version": ffmpeg.version()}),
        "encoders": {},
        "hardware_encoders": {},
        "hardware_decoders": {},
        "memory": memory_facts(),
        "disk": {"folder": str(folder), "free_bytes": free_bytes(folder), "writable": os.access(folder, os.W_OK)},
        "extras": {name: _extra(name) for name in extras.EXTRAS},
    }
    if facts["ffmpeg"]:
        facts["encoders"] = tried(_encoders) or {}
        facts["hardware_encoders"] = tried(hardware_encoders) or {}
        facts["hardware_decoders"] = tried(hardware_decoders) or {}
    facts["defaults"] = tried(_defaults)
    if trial and not problems:
        facts["trial"] = tried(_trial)
    facts["notes"] = _notes(facts)
    facts["problems"] = problems
    facts["ok"] = not problems
    return facts


def table(facts: dict[str, Any]) -> str:
    """The facts for people, in two columns."""
    rows: list[tuple[str, str]] = [("vfi-pipeline", f"{facts['version']}, conf in {facts['conf']}")]
    rows.append(("Python", f"{facts['python']['version']}, {facts['python']['path']}"))
    rows.append(("system", f"{facts['system']}, {facts['cpus']} processor{'s' * (facts['cpus'] != 1)}"))
    torch = facts["torch"]
    rows.append(("PyTorch", f"{torch['version']}, built for {torch['built_for']}" if torch else "none that works"))
    gpus = [f"{gpu['name']} ({gpu['device']}, {_size(gpu['memory_bytes'])})" for gpu in facts["gpus"]]
    rows.append(("GPU", "; ".join(gpus) or "none that PyTorch sees"))
    memory, disk = facts["memory"], facts["disk"]
    rows.append(("memory", f"{_size(memory['total_bytes'])}, {_size(memory['available_bytes'])} available"))
    unwritable = "" if disk["writable"] else ", and not writable"
    rows.append(("disk", f"{_size(disk['free_bytes'])} free in {disk['folder']}{unwritable}"))
    program = facts["ffmpeg"]
    rows.append(("ffmpeg", f"{program['version']}, {program['path']}" if program else "none that works"))
    rows.append(("encoders", ", ".join(f"{k} ({v})" if k != v else k for k, v in facts["encoders"].items()) or "none"))
    rows.append(("on a device", _hardware_text(facts["hardware_encoders"])))
    rows.append(("decoding", _decoders_text(facts["hardware_decoders"])))
    for name, extra in facts["extras"].items():
        rows.append(
            (
                f"extra {name}",
                "installed" if extra["installed"] else f"{', '.join(extra['missing'])} missing: {extra['install']}",
            )
        )
    defaults = facts["defaults"]
    if defaults:
        rows.append(("", ""))
        rows.append(
            ("by default", f"model={defaults['model']} (weights {defaults['weights']}) on device={defaults['device']}")
        )
        rows.append(("", f"codec={defaults['codec']} by {defaults['encoder']}, {defaults['settings']}"))
    trial = facts.get("trial")
    if trial:
        rows.append(("trial", f"a film of {trial['frames']} frames was made and verified in {trial['seconds']:.1f} s"))
    lines = [line for label, value in rows for line in _row(label, value)]
    for title, entries in (("note", facts["notes"]), ("PROBLEM", facts["problems"])):
        for each in entries:
            lines += ["", *_row(title, each["problem"]), *_row("  Try", each["remedy"])]
    verdict = "Films can be made." if facts["ok"] else "Films cannot be made here yet."
    return "\n".join([*lines, "", verdict])


def _hardware_text(encoders: dict[str, bool]) -> str:
    working = [name for name, works in encoders.items() if works]
    others = sorted({name.partition("_")[2] for name, works in encoders.items() if not works})
    phrases = [f"{', '.join(working)} work{'s' * (len(working) == 1)}"] if working else []
    phrases += [f"those of {', '.join(others)} do not start here"] if others else []
    return "; ".join(phrases) or "no encoders"


def _decoders_text(methods: dict[str, bool]) -> str:
    words = [f"decode={name} starts" for name, works in methods.items() if works]
    others = [name for name, works in methods.items() if not works]
    words += [f"{', '.join(others)} do{'es' * (len(others) == 1)} not start here"] if others else []
    return "; ".join(words) or "by software alone"


def _row(label: str, value: str) -> list[str]:
    if not value:
        return [""]
    wrapped = textwrap.wrap(value, WIDTH - COLUMN, break_long_words=False, break_on_hyphens=False)
    return [f"{label if number == 0 else '':{COLUMN}}{line}" for number, line in enumerate(wrapped)]


def _size(count: int | None) -> str:
    return "unknown" if count is None else size_text(count)


def _note(entries: list[dict[str, str]], problem: str, remedy: str) -> None:
    if all(each["problem"] != problem for each in entries):
        entries.append({"problem": problem, "remedy": remedy})


def _cpus() -> int:
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:
        return os.cpu_count() or 1


def torch_facts() -> dict[str, Any]:
    import torch

    version = torch.version
    kinds = {"CUDA": version.cuda, "ROCm": getattr(version, "hip", None), "XPU": getattr(version, "xpu", None)}
    built = ", ".join(f"{kind} {number}" for kind, number in kinds.items() if number) or "CPU"
    float((torch.ones(2, 2) @ torch.ones(2, 2)).sum())
    return {"version": torch.__version__, "built_for": built, "threads": torch.get_num_threads()}


def _gpus() -> list[dict[str, Any]]:
    import torch

    gpus: list[dict[str, Any]] = []
    for kind, module in (("cuda", torch.cuda), ("xpu", torch.xpu)):
        if module.is_available():
            for number in range(module.device_count()):
                facts = module.get_device_properties(number)
                gpus.append({"device": f"{kind}:{number}", "name": facts.name, "memory_bytes": facts.total_memory})
    if torch.backends.mps.is_available():
        gpus.append({"device": "mps", "name": "Apple GPU", "memory_bytes": None})
    return gpus


def _encoders() -> dict[str, str]:
    """Codec -> the encoder that is taken for it."""
    present = ffmpeg.encoders()
    software = {name: family for name, family in CODECS.items() if not name.endswith(HARDWARE)}
    taken = {name: next((e for e in family.encoders if e in present), None) for name, family in software.items()}
    return {name: encoder for name, encoder in taken.items() if encoder is not None}


def hardware_encoders() -> dict[str, bool]:
    """Encoders of h264, hevc and av1 on a device that this ffmpeg lists -> whether they start."""
    names = sorted(
        name for name in ffmpeg.encoders() if name.endswith(HARDWARE) and name.startswith(("h264", "hevc", "av1"))
    )
    return {name: ffmpeg.encoder_works(name) for name in names}


def hardware_decoders() -> dict[str, bool]:
    """Values of ``decode=`` that this ffmpeg lists -> whether a device for them starts."""
    return {name: ffmpeg.hwaccel_works(name) for name in ffmpeg.HWACCELS if name in ffmpeg.hwaccels()}


def memory_facts() -> dict[str, int | None]:
    """Of the machine, or of the container where that has less."""
    try:
        rows = dict(line.split(":", 1) for line in Path("/proc/meminfo").read_text().splitlines())
        total, available = (1024 * int(rows[key].split()[0]) for key in ("MemTotal", "MemAvailable"))
    except (OSError, KeyError, ValueError):
        try:
            total, available = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"), None
        except (AttributeError, ValueError, OSError):
            return {"total_bytes": None, "available_bytes": None}
    try:
        limit = int(Path("/sys/fs/cgroup/memory.max").read_text())
        used = int(Path("/sys/fs/cgroup/memory.current").read_text())
        total, available = min(total, limit), min(available or limit, max(0, limit - used))
    except (OSError, ValueError):  # no control group, or one without a limit
        pass
    return {"total_bytes": total, "available_bytes": available}


def _extra(name: str) -> dict[str, Any]:
    absent = extras.missing(name)
    return {"installed": not absent, "missing": absent, "install": extras.install_line(name)}


def _defaults() -> dict[str, str]:
    composed = compose_model()
    own = composed.defaults
    spec = VideoSpec("yuv420p", 1920, 1080, Fraction(60))
    crf = own.get("crf")
    encoding = choose_encoding(
        spec, Path("film.mp4"), str(own.get("codec") or "auto"), None if crf is None else float(str(crf)),
        None if own.get("preset") is None else str(own["preset"]),
    )  # fmt: skip
    return {
        "device": resolve_device(str(own.get("device") or "auto")),
        "model": composed.model,
        "weights": str(composed.settings.get("weights") or "none"),
        "codec": encoding.codec,
        "encoder": encoding.encoder,
        "settings": " ".join(f"{key}={value}" for key, value in encoding.options),
    }


def _trial() -> dict[str, Any]:
    """Draws a film, and raises its frame rate by the defaults."""
    import numpy as np

    from vfi_pipeline.jobs import local
    from vfi_pipeline.jobs.prepare import prepare, rehearsed
    from vfi_pipeline.jobs.request import film_request

    width, height, frames = 96, 64, 6
    y, x = np.mgrid[0:height, 0:width]
    shades = [128 + 100 * np.sin((x - 2 * n) / 9) * np.cos(y / 7) for n in range(frames)]
    data = b"".join(np.stack([shade] * 3, -1).astype(np.uint8).tobytes() for shade in shades)
    start = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="vfi-doctor-") as folder, _silence():
        source = Path(folder) / "drawn.mp4"
        drawn = ffmpeg.raw_input("rgb24", width, height, 12)
        target = drawn.output(ffmpeg.file_url(source), pix_fmt="yuv420p")
        ffmpeg.run(target, doing="drawing a film", stdin=data)
        request = film_request([source], {"multi": 2})
        plan = rehearsed(prepare(request.film, request.options, request.model_choice, (source,), many=False))
        local.work(plan, request.film, request.options, request.model_choice, request.command)
        return {"frames": plan.timeline.count, "seconds": time.monotonic() - start}


@contextmanager
def _silence() -> Iterator[None]:
    log = logging.getLogger("vfi_pipeline")
    level = log.level
    log.setLevel(logging.ERROR)
    try:
        yield
    finally:
        log.setLevel(level)


def _notes(facts: dict[str, Any]) -> list[dict[str, str]]:
    """What works, and could go better."""
    entries: list[dict[str, str]] = []
    torch, disk, memory = facts["torch"], facts["disk"], facts["memory"]
    if torch and torch["built_for"] == "CPU" and shutil.which("nvidia-smi"):
        _note(
            entries,
            "There is an NVIDIA driver, and this PyTorch is built for the CPU.",
            "pip install --force-reinstall torch",
        )
    if torch and torch["built_for"] != "CPU" and not facts["gpus"]:
        _note(
            entries,
            f"PyTorch is built for {torch['built_for']} and sees no GPU: the CPU does the work.",
            "a smaller scale= or model=blend, where it is too slow (vfi tune measures them).",
        )
    if not disk["writable"]:
        _note(entries, f"{disk['folder']} cannot be written.", "output= in another folder.")
    if disk["free_bytes"] is not None and disk["free_bytes"] < LITTLE_DISK:
        _note(entries, f"{_size(disk['free_bytes'])} are free in {disk['folder']}.", "output= on another disk.")
    if memory["available_bytes"] is not None and memory["available_bytes"] < LITTLE_MEMORY:
        _note(entries, f"{_size(memory['available_bytes'])} of memory are available.", "scale=0.5 for large pictures.")
    return entries
