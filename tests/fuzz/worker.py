"""A warm copy of the command that forks for every file: ``python worker.py SOUND_FILM``, folders on standard input.

For each line it runs ``interpolate.py`` with the words in ``folder/words.json`` there, in a process of its
own with bounded time and memory, and answers with one line of JSON: what became of it. Loading torch once saves three
seconds a case.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import resource
import signal
import sys
import time
import traceback
from pathlib import Path

TIME_S = 30.0
"""Processor seconds that one case may take; wall time is bounded by four times as much, for a loaded machine."""

SPACE = 3 << 30
"""Address space that a case may take beyond what the warm process has; mostly thread stacks and arenas."""


def main() -> None:
    root = Path(__file__).resolve().parents[2]
    sys.path.insert(0, str(root))
    import interpolate
    from vfi_pipeline.jobs import batch, method  # noqa: F401  # loaded here so that no child loads them again
    from vfi_pipeline.media import ffmpeg, reader  # noqa: F401
    from vfi_pipeline.models import hold  # noqa: F401
    from vfi_pipeline.synthesis import stream  # noqa: F401

    ffmpeg.version(), ffmpeg.encoders(), ffmpeg.filters(), ffmpeg.has_option("-mastering_display")
    for encoder in ("libx264", "libvpx-vp9", "ffv1", "gif", "png"):
        ffmpeg.encoder_pixel_formats(encoder)
    with contextlib.redirect_stdout(io.StringIO()):  # loads Hydra; starts no threads, which a fork would not survive
        assert interpolate.main([f"input={sys.argv[1]}", "multi=2", "model=hold", "dry_run=true"]) == 0
    for line in sys.stdin:
        folder = Path(line.rstrip("\n"))
        sys.stdout.write(json.dumps(one(interpolate, folder)) + "\n")
        sys.stdout.flush()


def one(interpolate, folder: Path) -> dict:
    """Runs one case; {"code", "seconds", "rss_mb", "timed_out"}."""
    words = json.loads((folder / "words.json").read_text())
    (folder / "words.json").unlink()
    begin = time.monotonic()
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            code = child(interpolate, folder, words)
        except BaseException:
            traceback.print_exc()
        finally:
            sys.stderr.flush()
            os._exit(code)
    timed_out = False
    while True:
        done, status, usage = os.wait4(pid, os.WNOHANG)
        if done:
            break
        if time.monotonic() - begin > 4 * TIME_S:
            timed_out = True
            os.kill(pid, signal.SIGKILL)
        time.sleep(0.003)
    code = os.waitstatus_to_exitcode(status)
    seconds = usage.ru_utime + usage.ru_stime
    timed_out = timed_out or code == -signal.SIGXCPU
    return {"code": code, "seconds": seconds, "rss_mb": usage.ru_maxrss / 1024, "timed_out": timed_out}


def child(interpolate, folder: Path, words: list[str]) -> int:
    os.chdir(folder)
    for name, descriptor in (("stdout.txt", 1), ("stderr.txt", 2)):
        file = os.open(name, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(file, descriptor)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    taken = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (taken + SPACE, taken + SPACE))
    resource.setrlimit(resource.RLIMIT_CPU, (int(TIME_S), int(TIME_S) + 2))
    resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 28, 1 << 28))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    code = interpolate.main(words)
    sys.stdout.flush()
    return code


if __name__ == "__main__":
    main()
