"""The one door to the ffmpeg program and to ffmpeg-python.

Commands are argument lists built by ffmpeg-python, never a shell line. Names of files go in as
``file:/absolute/path``, so that a leading ``-``, a ``:``, ``%d`` or ``concat:`` in a name means nothing. Inputs may
open files and pipes only, and only as media: formats that name other files or addresses (HLS, DASH, concat scripts,
SDP...) are not on the list.
"""

from __future__ import annotations

import ctypes
import hashlib
import logging
import math
import os
import queue
import re
import shlex
import shutil
import signal
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from functools import lru_cache
from typing import IO, TYPE_CHECKING, Any, NamedTuple

from vfi_pipeline.errors import ENVIRONMENT, UserError
from vfi_pipeline.media.threads import start_thread

if TYPE_CHECKING:
    import ffmpeg

log = logging.getLogger(__name__)

PROTOCOLS = "file,pipe"

# Containers whose bytes are all in the one file. Left out on purpose: everything that opens what it names (hls, dash,
# concat, imf, sdp, rtsp, image2 with its patterns, lavfi, avisynth, vapoursynth...) and tty, which plays text.
DEMUXERS = (
    "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,avi,mpegts,mpeg,mpegvideo,m4v,flv,live_flv,asf,gif,apng,ogg,ivf,obu,"
    "av1,h264,hevc,vvc,evc,h261,h263,vc1,vc1test,cavsvideo,avs2,avs3,dirac,mxf,gxf,nut,rm,wtv,yuv4mpegpipe,dv,"
    "mjpeg,mjpeg_2000,swf,nuv,roq,bink,smk,cine,fits,film_cpk,flic,idcin,ipmovie,mv,mvi,rpl,r3d,thp,vivo,yop,"
    "xmv,wc3movie,ffm,hnm,lmlm4,dxa,amv,nsv,pva,webp_pipe,png_pipe,jpeg_pipe,jpegls_pipe,j2k_pipe,tiff_pipe,"
    "bmp_pipe,dpx_pipe,exr_pipe,pam_pipe,pgm_pipe,ppm_pipe,pbm_pipe,sgi_pipe,sunrast_pipe,qoi_pipe,tga_pipe,"
    "jpegxl_pipe,psd_pipe,xwd_pipe,xbm_pipe,xpm_pipe,pcx_pipe,wav,w64,mp3,aac,ac3,eac3,flac,opus,srt,ass,webvtt,"
    "sup"
)

OLDEST = (6, 0)
"""The oldest ffmpeg taken from PATH: 6.0 brought ``-display_rotation``, without which no container is told how its
pictures are turned; 5.1 also loses the sound of a trimmed film in MP4."""

HWACCELS = ("cuda", "vaapi", "qsv", "videotoolbox", "vulkan", "d3d11va", "d3d12va", "dxva2", "vdpau")
"""ffmpeg's names of what decodes films on a device; NVDEC is ``cuda``."""

_LINES_KEPT = 2000
"""Lines of what ffmpeg says that are kept, the last ones."""

_ALWAYS = ["-nostdin", "-hide_banner"]


class Output(NamedTuple):
    """What a finished ffmpeg left behind: bytes of its standard output, text of its standard error."""

    stdout: bytes
    stderr: str


# ---------------------------------------------------------------------------------------------------- the program


def typed() -> str:
    """How a user calls ffmpeg: by its name where a shell finds it, else by the place of the one that we use."""
    return "ffmpeg" if shutil.which("ffmpeg") else shlex.quote(ffmpeg_path())


@lru_cache
def ffmpeg_path() -> str:
    """The ffmpeg to run: ``$VFI_FFMPEG``, else the user's on PATH if it starts, else the imageio-ffmpeg wheel's. One
    older than ``OLDEST`` is refused if chosen, passed over if found.

    Raises:
        UserError: if there is none.
    """
    chosen = os.environ.get("VFI_FFMPEG")
    if chosen:
        banner = _banner(chosen)
        if banner is None:
            raise UserError(
                f"VFI_FFMPEG={chosen} is not an ffmpeg that starts.", "unset VFI_FFMPEG, or correct it.", ENVIRONMENT
            )
        if _too_old(banner):
            raise UserError(
                f"VFI_FFMPEG={chosen} is older than ffmpeg {_oldest()}.",
                "unset VFI_FFMPEG: the ffmpeg of the imageio-ffmpeg package is newer.",
                ENVIRONMENT,
            )
        return chosen
    program = shutil.which("ffmpeg")
    banner = _banner(program) if program else None
    if program and banner is not None and not _too_old(banner):
        return program
    try:
        import imageio_ffmpeg

        bundled = imageio_ffmpeg.get_ffmpeg_exe()
        if program:
            why = "does not start" if banner is None else f"is older than {_oldest()}"
            log.warning("%s %s: using the ffmpeg of the imageio-ffmpeg package", program, why)
        return bundled
    except (ImportError, RuntimeError) as error:
        raise UserError(
            f"No ffmpeg of version {_oldest()} or later was found.",
            "pip install imageio-ffmpeg, or put a newer ffmpeg on PATH.",
            ENVIRONMENT,
        ) from error


def _banner(path: str) -> str | None:
    """The first line of ``path -version``, or None if that is no ffmpeg that starts."""
    try:
        command = [path, "-version"]
        done = subprocess.run(command, check=False, capture_output=True, stdin=subprocess.DEVNULL, timeout=20)
    except (OSError, subprocess.TimeoutExpired):
        return None
    if done.returncode != 0 or not done.stdout.startswith(b"ffmpeg version"):
        return None
    return done.stdout.split(b"\n", 1)[0].decode("utf-8", "replace")


def _oldest() -> str:
    return ".".join(map(str, OLDEST))


def _too_old(banner: str) -> bool:
    """Whether a release older than ``OLDEST`` speaks; a build from git (``N-12345-g...``) counts as new."""
    match = re.match(r"ffmpeg version n?(?:\d+:)?(\d+)\.(\d+)", banner)
    return match is not None and (int(match.group(1)), int(match.group(2))) < OLDEST


@lru_cache
def version() -> str:
    """ffmpeg's version, as ``9.0.2`` or whatever its builder called it."""
    first = _listing("version").split("\n", 1)[0]
    match = re.match(r"ffmpeg version n?(\S+?)(?:-\S*)?(?:\s|$)", first)
    return match.group(1) if match else first


@lru_cache
def build() -> str:
    """A hash of all that ffmpeg says of itself: version, libraries, how it was configured."""
    return hashlib.sha256(_listing("version").encode()).hexdigest()[:16]


@lru_cache
def encoders() -> frozenset[str]:
    """Names of the encoders that this ffmpeg was built with. A hardware encoder may be listed and yet not work:
    see ``encoder_works``.
    """
    return _names(_listing("encoders"))


@lru_cache
def _codecs() -> dict[str, str]:
    """Encoder -> its codec, where the two have different names."""
    rows = re.finditer(r"^ +[A-Z.]{6} +(\S+) .*\(codec (\S+)\)$", _listing("encoders"), re.MULTILINE)
    return {row[1]: row[2] for row in rows}


def codec_of(encoder: str) -> str:
    """The codec that ``encoder`` writes, by ffmpeg's listing: libtheora's is theora."""
    return _codecs().get(encoder, encoder)


@lru_cache
def filters() -> frozenset[str]:
    """Names of the filters that this ffmpeg was built with."""
    return _names(_listing("filters"))


@lru_cache
def encoder_pixel_formats(encoder: str) -> tuple[str, ...]:
    """Pixel formats that ``encoder`` takes, in its own order of preference; empty if it does not say."""
    for line in _listing("h", f"encoder={encoder}").splitlines():
        if line.strip().startswith("Supported pixel formats:"):
            return tuple(line.split(":", 1)[1].split())
    return ()


class EncoderOption(NamedTuple):
    """An option of an encoder as ffmpeg lists it: int, float, string...; its range, and the names it takes."""

    kind: str
    low: float
    high: float
    choices: tuple[str, ...]


@lru_cache
def encoder_options(encoder: str) -> dict[str, EncoderOption]:
    """The options of its own that ``encoder`` has, by name; a range that is not given is without bounds."""
    options: dict[str, EncoderOption] = {}
    name = ""
    for line in _listing("h", f"encoder={encoder}").splitlines():
        if option := re.match(r"  -(\S+) +<(\w+)> +E\S*(.*)", line):
            name, kind, described = option.groups()
            limits = re.search(r"\(from (\S+) to (\S+)\)", described)
            low, high = map(_bound, limits.groups()) if limits else (-math.inf, math.inf)
            options[name] = EncoderOption(kind, low, high, ())
        elif (choice := re.match(r"     (\S+) +(?:-?\d+ +)?E\S*", line)) and name:
            options[name] = options[name]._replace(choices=(*options[name].choices, choice[1]))
    return options


def _bound(text: str) -> float:
    """A limit of an option; INT_MIN, FLT_MAX and the like are none."""
    try:
        return float(text)
    except ValueError:
        return -math.inf if text.startswith("-") or "MIN" in text else math.inf


@lru_cache
def encoder_works(encoder: str, pixel_format: str = "yuv420p") -> bool:
    """Whether ``encoder`` really encodes here, found out by encoding two grey frames (NVENC needs a GPU, for one)."""
    import ffmpeg

    if encoder not in encoders():
        return False
    grey = f"color=gray:size=320x240:rate=25:duration=0.08,format={pixel_format}"
    trial = ffmpeg.input(grey, f="lavfi").output("-", f="null", **{"c:v": encoder})
    try:
        run(trial, doing=f"trying the encoder {encoder}", timeout_s=60)
    except UserError as error:
        log.debug("encoder %s does not work here: %s", encoder, error)
        return False
    return True


@lru_cache
def hwaccels() -> frozenset[str]:
    """Names of the ways to decode on a device that this ffmpeg was built with; ``hwaccel_works`` says what is there."""
    lines = _listing("hwaccels").splitlines()
    return frozenset(line.strip() for line in lines if line.strip() and ":" not in line)


@lru_cache
def hwaccel_works(method: str) -> bool:
    """Whether a device for ``method`` starts here."""
    if method not in hwaccels():
        return False
    grey = ["-f", "lavfi", "-i", "color=gray:size=64x64:rate=25:duration=0.04", "-f", "null", "-"]
    try:
        run([*_ALWAYS, "-loglevel", "error", "-init_hw_device", method, *grey], f"starting {method}", timeout_s=60)
    except UserError as error:
        log.debug("decoding by %s does not work here: %s", method, error)
        return False
    return True


@lru_cache
def has_option(name: str) -> bool:
    """Whether this ffmpeg knows a program option: ``-mastering_display`` came with 8, ``-display_rotation`` with 6."""
    return name in _listing("h", "long")


def _listing(what: str, *rest: str) -> str:
    return run([*_ALWAYS, f"-{what}", *rest], doing=f"listing its {what}").stdout.decode("utf-8", "replace")


def _names(listing: str) -> frozenset[str]:
    """The second column of ffmpeg's ``-encoders``, ``-filters`` and the like, below the legend."""
    rows = (re.match(r"^ +([A-Z.|]{1,6}) +([\w,-]+)", line) for line in listing.splitlines())
    return frozenset(name for row in rows if row for name in row.group(2).split(","))


# ------------------------------------------------------------------------------------------------ inputs and names


def file_url(path: str | os.PathLike[str]) -> str:
    """``path`` as ffmpeg reads it literally, whatever is in the name: ``file:/absolute/path``."""
    return "file:" + os.path.abspath(path)


def pattern_url(folder: str | os.PathLike[str], pattern: str) -> str:
    """``folder / pattern`` for the image2 muxer: a ``%`` in the folder's name is literal, one in ``pattern`` counts."""
    return "file:" + os.path.abspath(folder).replace("%", "%%") + os.sep + pattern


def media_input(path: str | os.PathLike[str], **options: Any) -> ffmpeg.nodes.Stream:
    """An ffmpeg-python input node for a media file from the user: named literally, opened as plain media only."""
    import ffmpeg

    guards: dict[str, Any] = {"protocol_whitelist": PROTOCOLS}
    if options.get("f", options.get("format")) is None:
        guards["format_whitelist"] = DEMUXERS
    return ffmpeg.input(file_url(path), **guards, **options)


def raw_input(pixel_format: str, width: int, height: int, rate: Any, **options: Any) -> ffmpeg.nodes.Stream:
    """An ffmpeg-python input node for raw frames on standard input (``open_process(...).stdin``)."""
    import ffmpeg

    return ffmpeg.input(
        "pipe:0",
        f="rawvideo",
        pixel_format=pixel_format,
        s=f"{width}x{height}",  # not video_size: ffmpeg-python would take the string's first two letters
        r=str(rate),  # not framerate: of that, ffmpeg makes 120 of 120000/1001
        **options,
    )


def result_input(path: str | os.PathLike[str], **options: Any) -> ffmpeg.nodes.Stream:
    """An ffmpeg-python input node for a film that we have just made."""
    import ffmpeg

    return ffmpeg.input(file_url(path), protocol_whitelist=PROTOCOLS, **options)


def own_picture_input(path: str | os.PathLike[str]) -> ffmpeg.nodes.Stream:
    """An ffmpeg-python input node for a picture that we have just made."""
    import ffmpeg

    return ffmpeg.input(file_url(path))


def joined_input(script: str | os.PathLike[str], **options: Any) -> ffmpeg.nodes.Stream:
    """An ffmpeg-python input node for a concat script of ours: the one thing that may name other files."""
    import ffmpeg

    return ffmpeg.input(file_url(script), f="concat", safe="0", protocol_whitelist=PROTOCOLS, **options)


def metadata_input(sheet: str | os.PathLike[str]) -> ffmpeg.nodes.Stream:
    """An ffmpeg-python input node for an ``ffmetadata`` file of ours."""
    import ffmpeg

    return ffmpeg.input(file_url(sheet), f="ffmetadata")


def silence_input(seconds: str) -> ffmpeg.nodes.Stream:
    """An ffmpeg-python input node for stereo silence of 48 kHz."""
    import ffmpeg

    return ffmpeg.input("anullsrc=channel_layout=stereo:sample_rate=48000", f="lavfi", t=seconds)


# ---------------------------------------------------------------------------------------------------------- running


class Command(NamedTuple):
    """One output of several inputs, some of which give no stream but chapters or tags. ffmpeg-python counts only the
    inputs that a stream comes from; here they are counted as they stand, and ``map`` names streams by those numbers.

    Attributes:
        inputs: ffmpeg-python input nodes.
        target: a name as ffmpeg takes it, or ``-``.
        options: of the output, without their dash; a list repeats the option, None is a flag.
    """

    inputs: Sequence[ffmpeg.nodes.Stream]
    target: str
    options: Mapping[str, Any]

    def words(self) -> list[str]:
        """The arguments, all built by ffmpeg-python: of the inputs one by one, then of the output.

        ffmpeg-python 0.2 takes an option once in a call: those that repeat get a call for each value.
        """
        import ffmpeg

        opened = [ffmpeg.get_args(each.output("-"))[:-1] for each in self.inputs]
        first, own = self.inputs[0], len(opened[0])
        single = {key: value for key, value in self.options.items() if not isinstance(value, list)}
        repeated = [
            ffmpeg.get_args(first.output("-", **{key: value}))[own:-1]
            for key, values in self.options.items() if isinstance(values, list) for value in values
        ]  # fmt: skip
        output = ffmpeg.get_args(first.output(self.target, **single))[own:]
        return [str(word) for part in (*opened, *repeated, output) for word in part]


def arguments(spec: Any, loglevel: str = "error") -> list[str]:
    """The argument list (without the program) of an ffmpeg-python output node or a ``Command``.

    A list of strings is passed through: questions such as ``-encoders``, which ffmpeg-python cannot ask.
    """
    import ffmpeg

    if isinstance(spec, Command):
        return [*_ALWAYS, "-loglevel", loglevel, *spec.words(), "-y"]
    if isinstance(spec, list | tuple):
        return [str(part) for part in spec]
    return [*_ALWAYS, "-loglevel", loglevel, *(str(part) for part in ffmpeg.get_args(spec, overwrite_output=True))]


def run(
    spec: Any,
    doing: str,
    *,
    stdin: bytes | None = None,
    timeout_s: float | None = None,
    loglevel: str = "error",
    remedy: str | None = None,
    code: int = ENVIRONMENT,
) -> Output:
    """Run ffmpeg to its end.

    Args:
        spec: an ffmpeg-python output node, a ``Command``, or a list of arguments.
        doing: what the user is told ffmpeg was doing if it fails, as "joining the segments of out.mp4".
        stdin: bytes for its standard input.
        timeout_s: kill it and raise after so many seconds.
        remedy, code: of the UserError; by default chosen from what ffmpeg said.

    Raises:
        UserError: ffmpeg failed, with the last of what it said, or took too long.
    """
    with open_process(
        spec, doing, loglevel=loglevel, remedy=remedy, code=code, pipe_stdin=stdin is not None, pipe_stdout=True
    ) as process:
        try:
            stdout = process.communicate(stdin, timeout_s)
        except subprocess.TimeoutExpired:
            process.kill()
            raise UserError(
                f"ffmpeg took more than {timeout_s:g} s {doing}.", remedy or "try the file in another player.", code
            ) from None
        process.finish()
    return Output(stdout, process.stderr_text())


class Process:
    """A running ffmpeg whose ``stdin`` and ``stdout`` are pipes as asked for; its standard error is read as it comes.

    Leaving the ``with`` block by an exception kills it, leaving it in peace closes ``stdin``, waits, and raises
    UserError if ffmpeg failed. A failed write to ``stdin`` (BrokenPipeError) is best met by calling ``finish()``,
    which says why ffmpeg went away.
    """

    def __init__(self, popen: subprocess.Popen[bytes], doing: str, remedy: str | None, code: int) -> None:
        self._popen, self._doing, self._remedy, self._code = popen, doing, remedy, code
        self._stderr_lines: deque[str] = deque(maxlen=_LINES_KEPT)
        self._finished = False
        assert popen.stderr is not None
        try:
            self._heard = start_thread(self._listen, popen.stderr)
        except BaseException:
            popen.kill()
            popen.wait()
            raise

    @property
    def stdin(self) -> IO[bytes]:
        assert self._popen.stdin is not None, "open_process(pipe_stdin=True) to write"
        return self._popen.stdin

    @property
    def stdout(self) -> IO[bytes]:
        assert self._popen.stdout is not None, "open_process(pipe_stdout=True) to read"
        return self._popen.stdout

    @property
    def pid(self) -> int:
        return self._popen.pid

    def poll(self) -> int | None:
        """The exit status, or None while it runs."""
        return self._popen.poll()

    def stderr_text(self) -> str:
        """The last 2000 lines of what ffmpeg said."""
        return "\n".join(self._stderr_lines)

    def communicate(self, data: bytes | None, timeout_s: float | None) -> bytes:
        """Write ``data``, read standard output to its end, wait."""
        # Popen.communicate would also read stderr, which is ours: hand it a Popen without one.
        stderr, self._popen.stderr = self._popen.stderr, None
        try:
            return self._popen.communicate(data, timeout_s)[0] or b""
        finally:
            self._popen.stderr = stderr

    def finish(self, timeout_s: float | None = None) -> None:
        """Close ``stdin``, wait for the end; UserError if ffmpeg failed."""
        self._finished = True
        if self._popen.stdin is not None and not self._popen.stdin.closed:
            try:
                self._popen.stdin.close()
            except OSError:
                pass  # ffmpeg went first: its exit status tells why
        try:
            status = self._popen.wait(timeout_s)
        except BaseException:
            self.kill()
            raise
        self._heard.wait(5)
        self._close_pipes()
        if status != 0:
            raise self._failure(status)

    def interrupt(self) -> None:
        """End it at once, from any thread: whoever reads from it sees the end, and ``finish`` raises."""
        self._popen.kill()

    def kill(self) -> None:
        """End it at once; no error."""
        self._finished = True
        if self._popen.poll() is None:
            self._popen.kill()
        self._popen.wait()
        self._close_pipes()

    def __enter__(self) -> Process:  # typing.Self needs Python 3.11
        return self

    def __exit__(self, kind: object, error: object, trace: object) -> None:
        if self._finished:
            return
        if kind is None:
            self.finish()
        else:
            self.kill()

    def _listen(self, stream: IO[bytes]) -> None:
        try:
            for line in stream:
                self._stderr_lines.append(line.decode("utf-8", "replace").rstrip())
        except (OSError, ValueError):
            pass  # closed under us by kill()

    def _close_pipes(self) -> None:
        self._heard.wait(2)
        for pipe in (self._popen.stdin, self._popen.stdout, self._popen.stderr):
            if pipe is not None and not pipe.closed:
                try:
                    pipe.close()
                except OSError:
                    pass

    def _failure(self, status: int) -> UserError:
        lines = [line for line in self._stderr_lines if line.strip() and "Conversion failed!" not in line]
        text = "\n".join(lines)
        if status < 0:
            cause = f"was killed by {_signal_name(-status)}"
        else:
            cause = f"failed: {_telling(lines)}" if lines else f"failed with status {status} and said nothing"
        if "No space left on device" in text:
            problem = f"The disk is full: ffmpeg failed {self._doing}."
            return UserError(problem, "free some space, run again.", ENVIRONMENT)
        usual = "run again." if status < 0 else "look at its message; another codec or container may do."
        remedy = self._remedy or usual
        return UserError(f"ffmpeg {cause} ({self._doing}).", remedy, self._code)


def open_process(
    spec: Any,
    doing: str,
    *,
    pipe_stdin: bool = False,
    pipe_stdout: bool = False,
    loglevel: str = "error",
    remedy: str | None = None,
    code: int = ENVIRONMENT,
) -> Process:
    """Start ffmpeg, to be used as a context manager. Arguments as in ``run``. It dies when we die, however we die."""
    command = [ffmpeg_path(), *arguments(spec, loglevel)]
    log.debug("%s: %s", doing, command)
    try:
        popen = _spawn(
            command,
            stdin=subprocess.PIPE if pipe_stdin else subprocess.DEVNULL,
            stdout=subprocess.PIPE if pipe_stdout else subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            # Its own session: Ctrl-C in a terminal reaches us alone, and we decide what becomes of ffmpeg.
            start_new_session=True,
        )
    except (OSError, ValueError) as error:
        raise UserError(
            f"ffmpeg could not be started ({doing}): {error}.", "check the limits of memory and processes.", ENVIRONMENT
        ) from error
    return Process(popen, doing, remedy, code)


def _telling(lines: Sequence[str]) -> str:
    """The line of ffmpeg's last words that says most: the first error, not the summaries that follow it."""
    plain = [re.sub(r"^\[[^\]]*\]\s*", "", re.sub(r"^\[[^\]]*@ 0x[0-9a-f]+\]\s*", "", line)) for line in lines]
    plain = [line for line in plain if not re.match(r"Task finished|Terminating thread|Error while|Nothing was", line)]
    if (plain or [""])[0].startswith("Format not on whitelist"):
        return "it is not a media file, or a playlist that names other files"
    return (plain or list(lines))[0][:300].rstrip(".")


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


# ------------------------------------------------------------------------------------- children die with their parent

_PR_SET_PDEATHSIG = 1
_libc = ctypes.CDLL(None, use_errno=True) if sys.platform == "linux" else None


class _Spawner:
    """One thread that starts every child and lives as long as the process.

    Linux ties PR_SET_PDEATHSIG to the *thread* that forked: a child started from a short-lived worker thread would be
    killed when that worker ends. From this thread, it is killed exactly when the process goes, even by SIGKILL.
    """

    def __init__(self) -> None:
        self.pid = os.getpid()
        self._orders: queue.SimpleQueue[tuple[Callable[[], subprocess.Popen[bytes]], Future]] = queue.SimpleQueue()
        start_thread(self._serve)

    def _serve(self) -> None:
        while True:
            order, result = self._orders.get()
            try:
                result.set_result(order())
            except BaseException as error:  # handed to the caller, who raises it
                result.set_exception(error)

    def __call__(self, order: Callable[[], subprocess.Popen[bytes]]) -> subprocess.Popen[bytes]:
        result: Future[subprocess.Popen[bytes]] = Future()
        self._orders.put((order, result))
        return result.result()


_spawner: _Spawner | None = None
_spawner_lock = threading.Lock()


def _spawn(command: list[str], **options: Any) -> subprocess.Popen[bytes]:
    global _spawner
    if _libc is None:
        return subprocess.Popen(command, **options)
    with _spawner_lock:
        if _spawner is None or _spawner.pid != os.getpid():  # after a fork the thread is not there
            _spawner = _Spawner()
    parent = os.getpid()

    def die_with_parent() -> None:
        _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        if os.getppid() != parent:  # it went before the call above
            os._exit(1)

    return _spawner(lambda: subprocess.Popen(command, preexec_fn=die_with_parent, **options))
