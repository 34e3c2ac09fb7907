"""One film by several workers: the same frames whoever makes them, whatever dies. Local processes, Ray, Slurm.

The film is awkward: variable frame rate, open GOPs, and cuts exactly where segments meet.
"""

from __future__ import annotations

import contextlib
import functools
import json
import os
import random
import signal
import sys
import threading
import time
from pathlib import Path

import clips
import numpy as np
import pytest

import interpolate
from vfi_pipeline.jobs import executor, processes, session, workers
from vfi_pipeline.jobs.journal import work_folder
from vfi_pipeline.media import ffmpeg

STRANGE = Path(__file__).resolve().parents[1] / "strange_worker.py"
OUT = "b.mkv"


def awkward_film(path: Path, shots: int, shot: int) -> Path:
    """``shots`` shots of ``shot`` frames, about 40 ms each, unevenly within a shot; with sound; x264, open GOPs."""
    size, raw = (64, 48), bytearray()
    for n in range(shots * shot):
        luma, *chroma = (plane.astype(np.uint8) for plane in clips.planes(n, size, content="motion"))
        if n // shot % 2:
            luma, chroma = np.full_like(luma, 180), [np.full_like(c, 150) for c in chroma]
            luma[:, 4 * n % 64] = 230  # something moves
        else:
            luma, chroma = luma // 4, [c // 2 for c in chroma]
        raw += luma.tobytes() + b"".join(c.tobytes() for c in chroma)
    moment = f"40*N+if(mod(N\\,{shot})\\,mod(7*N\\,23))"
    command = [
        *clips.ALWAYS, "-f", "rawvideo", "-pixel_format", "yuv420p", "-video_size", "64x48", "-framerate", "25",
        "-i", "pipe:0", "-f", "lavfi", "-i", f"sine=frequency=440:duration={shots * shot / 25}:sample_rate=48000",
        "-filter:v", f"settb=1/1000,setpts={moment}", "-fps_mode", "passthrough", "-enc_time_base:v", "1:1000",
        "-c:v", "libx264", "-crf", "12", "-x264-params", "open-gop=1:keyint=7:min-keyint=3:bframes=3:scenecut=0",
        "-c:a", "flac", ffmpeg.file_url(path),
    ]  # fmt: skip
    ffmpeg.run(command, doing="making an awkward film", stdin=bytes(raw))
    return path


class Film:
    """A film, the words that interpolate it, and what one process makes of it."""

    def __init__(self, folder: Path, shots: int, shot: int, *words: str) -> None:
        self.path = awkward_film(folder / "a.mkv", shots, shot)
        self.words = (f"input={self.path}", "fps=50", f"segment={shot / 25}", *words)
        whole = folder / "whole.mkv"
        assert interpolate.main([*self.words, f"output={whole}"]) == 0
        self.right = facts(whole)
        cuts = {cut["frame"] for cut in json.loads((folder / "whole.cuts.json").read_text())["cuts"]}
        assert cuts <= set(range(shot, shots * shot, shot)) and len(cuts) > shots // 2  # where segments begin

    def check(self, made: Path) -> None:
        assert facts(made) == self.right
        assert not work_folder(made).exists()


def facts(path: Path) -> tuple[object, ...]:
    """Each frame, when it is shown, and the packets of the sound."""
    shown = clips.describe(path)
    copied = [*clips.ALWAYS, "-i", ffmpeg.file_url(path), "-map", "0:a", "-c", "copy", "-f", "framemd5", "pipe:1"]
    return shown["md5"], shown["pts"], ffmpeg.run(copied, doing="reading the sound").stdout


@pytest.fixture(scope="module")
def film(tmp_path_factory) -> Film:
    """12 segments of about 20 frames."""
    return Film(tmp_path_factory.mktemp("film"), 12, 10, "model=blend")


@pytest.fixture(scope="module")
def long_film(tmp_path_factory) -> Film:
    """100 segments of about 8 frames."""
    return Film(tmp_path_factory.mktemp("long"), 100, 4, "model=blend")


@pytest.fixture(scope="module")
def ray_cluster():
    """Two nodes of one processor, on the loopback address."""
    pytest.importorskip("ray")
    from vfi_pipeline.jobs import ray_cluster

    with pytest.MonkeyPatch.context() as patch:
        # Ray reads how it is to be spoken to once, when it is first imported, which may have been before.
        for name, value in {**ray_cluster.OWN, "RAY_AUTH_MODE": "disabled"}.items():
            patch.setenv(name, value)
        from ray.cluster_utils import Cluster

        node = {"num_cpus": 1, "object_store_memory": ray_cluster.STORE_BYTES}
        cluster = Cluster(initialize_head=True, head_node_args={**node, "include_dashboard": False})
        try:
            cluster.add_node(**node)
            yield cluster
        finally:
            cluster.shutdown()


@pytest.fixture(
    params=["local", pytest.param("ray", marks=pytest.mark.slow), pytest.param("slurm", marks=pytest.mark.slow)]
)
def crew(request):
    """``crew(2)`` are the words that ask for two workers."""
    kind = request.param
    if kind == "ray":
        address = request.getfixturevalue("ray_cluster").address
        return lambda count: (f"workers={count}", "executor=ray", f"address={address}")
    if kind == "slurm":
        pytest.importorskip("submitit")
        return lambda count: (f"workers={count}", "executor=slurm", "slurm=[cluster=local]")
    return lambda count: (f"workers={count}",)


@pytest.fixture
def run(tmp_path, monkeypatch, capfd, caplog):
    """``run(film, *words)`` makes ``b.mkv`` in an empty folder, in this process; gives exit code and what was said."""
    monkeypatch.chdir(tmp_path)

    def run(film: Film, *words: str) -> tuple[int, str]:
        code = interpolate.main([*film.words, f"output={OUT}", *words])
        said = capfd.readouterr()
        assert "Traceback" not in said.err
        logged, _ = caplog.text, caplog.clear()
        return code, said.err + said.out + logged

    return run


@pytest.fixture
def strange(monkeypatch):
    """``strange("old")``: local workers are of that kind, see strange_worker.py."""
    monkeypatch.setenv("PYTHONPATH", str(STRANGE.parent.parent))

    def strange(kind: str) -> None:
        program = [sys.executable, str(STRANGE), kind]
        monkeypatch.setattr(workers, "Processes", functools.partial(processes.Processes, program=program))

    return strange


def states(folder: Path) -> dict[str, session.State]:
    """The workers of the job in ``folder`` that have said anything."""
    with contextlib.suppress(Exception):
        return dict(session.Session.find(work_folder(folder / OUT)).states())
    return {}


def working(folder: Path) -> list[int]:
    """Process numbers of workers that have been let in and have not ended."""
    there = [s for s in states(folder).values() if s.phase in (session.WORKING, session.FINISHED, session.IDLE)]
    pids = [int(state.who.split()[1]) for state in there]
    return [pid for pid in pids if Path(f"/proc/{pid}/stat").exists() and "Z" not in stat(pid)]


def finished(folder: Path) -> int:
    """How many segments the journal has."""
    with contextlib.suppress(OSError, ValueError):
        return len(json.loads((work_folder(folder / OUT) / "journal.json").read_text())["segments"])
    return 0


def stat(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return "Z"


def relatives(folder: Path) -> list[str]:
    """Processes other than this one that were told of ``folder``."""
    found = []
    for entry in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            words = entry.read_bytes().decode(errors="replace")
            if str(folder) in words and int(entry.parent.name) != os.getpid():
                found.append(words)
    return found


@contextlib.contextmanager
def meanwhile(what, *args):
    """Does ``what(*args, over)`` in a thread until the block ends."""
    over = threading.Event()
    thread = threading.Thread(target=what, args=(*args, over))
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


# ------------------------------------------------------------------------------------- the contract of all executors


@pytest.mark.parametrize("count", [2, pytest.param(4, marks=pytest.mark.slow)])
def test_frames_do_not_depend_on_the_number_of_workers(run, tmp_path, film, crew, count):
    code, said = run(film, *crew(count))

    assert code == 0, said
    film.check(tmp_path / OUT)
    assert "worker worker-1 is there" in said


@pytest.mark.slow
def test_a_worker_is_killed(run, tmp_path, film, crew):
    killed = []

    def kill_one(over):
        while not over.is_set() and not killed:
            for pid in working(tmp_path)[:1]:
                os.kill(pid, signal.SIGKILL)
                killed.append(pid)
            time.sleep(0.05)

    with meanwhile(kill_one):
        code, said = run(film, *crew(2))
    assert code == 0, said
    assert killed and "is lost" in said
    film.check(tmp_path / OUT)


@pytest.mark.slow
def test_the_head_is_killed_and_goes_on_with_other_workers(process, run, tmp_path, film, crew):
    child = process(*film.words, f"output={OUT}", *crew(2))
    while finished(tmp_path) < 3:
        assert child.poll() is None, child.communicate()
        time.sleep(0.01)
    child.kill()
    child.wait()
    assert not (tmp_path / OUT).exists()

    code, said = run(film, "workers=1")
    assert code == 0, said
    assert "of 12 segments are done already" in said
    film.check(tmp_path / OUT)
    deadline = time.monotonic() + 60  # workers have heard that nobody is there any more
    while left := [words for words in relatives(tmp_path) if "jobs.work" in words]:
        assert time.monotonic() < deadline, left
        time.sleep(0.2)


# ----------------------------------------------------------------------------------------------------- local processes


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_twenty_workers_are_killed_at_random_moments_of_a_hundred_segments(run, tmp_path, long_film, strange):
    strange("slow")
    dice = random.Random(0)
    killed: set[int] = set()

    def kill(over):
        due = 0
        while not over.is_set() and len(killed) < 20:
            there = [pid for pid in working(tmp_path) if pid not in killed]
            if there and finished(tmp_path) >= due:
                over.wait(dice.uniform(0, 0.3))
                killed.add(pid := dice.choice(there))
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
                due = finished(tmp_path) + (0 if len(killed) % 4 == 0 else dice.randint(1, 3))
            over.wait(0.02)

    with meanwhile(kill):
        code, said = run(long_film, "workers=3")
    assert code == 0, said
    assert len(killed) == 20
    long_film.check(tmp_path / OUT)


@pytest.mark.parametrize("number", [signal.SIGINT, pytest.param(signal.SIGTERM, marks=pytest.mark.slow)])
def test_a_stopped_head_takes_its_workers_along(process, run, tmp_path, film, number):
    child = process(*film.words, f"output={OUT}", "workers=2")
    while not working(tmp_path):
        assert child.poll() is None, child.communicate()
        time.sleep(0.02)
    child.send_signal(number)
    _, err = child.communicate(timeout=60)

    assert child.returncode == 130
    assert "workers=2" in err and "Traceback" not in err
    assert relatives(tmp_path) == []
    assert not (tmp_path / OUT).exists()
    assert not list(tmp_path.glob("*/session-*"))


def test_workers_of_another_version_are_refused_by_name(run, tmp_path, film, strange):
    strange("old")
    code, said = run(film, "workers=2")

    assert code == 4
    assert "would make other frames" in said and "tool: " in said and "-> 0.1" in said
    assert not (tmp_path / OUT).exists()


@pytest.mark.slow
def test_one_worker_of_another_version_leaves_the_work_to_the_others(run, tmp_path, film, strange):
    strange("old-first")
    code, said = run(film, "workers=2")

    assert code == 0 and "worker worker-1 is refused" in said
    film.check(tmp_path / OUT)


@pytest.mark.slow
def test_what_one_worker_cannot_make_another_does(run, tmp_path, film, strange):
    strange("failing-first")
    code, said = run(film, "workers=2")

    assert code == 0, said
    film.check(tmp_path / OUT)


@pytest.mark.slow
def test_what_nobody_can_make_ends_the_job_with_the_reason(run, tmp_path, film, strange):
    strange("failing")
    code, said = run(film, "workers=2")

    assert code == 4 and "Input/output error" in said and "segment 2" in said
    assert not (tmp_path / OUT).exists()
    assert len(list(work_folder(tmp_path / OUT).glob("segment_*"))) >= 2  # what was made stays


@pytest.mark.slow
def test_a_segment_that_kills_its_workers_ends_the_job(run, tmp_path, film, strange):
    strange("dying")
    code, said = run(film, "workers=2")

    assert code == 4 and "workers" in said
    assert not (tmp_path / OUT).exists()


@pytest.mark.slow
def test_a_straggler_does_not_hold_the_end(run, tmp_path, film, strange):
    strange("slow-first")  # 10 s a segment
    code, said = run(film, "workers=2")

    assert code == 0, said
    film.check(tmp_path / OUT)


@pytest.mark.slow
def test_a_worker_that_is_started_by_hand_joins_in(process, run, tmp_path, film):
    import subprocess

    hands = []

    def join(over):
        while not over.is_set() and not hands:
            if (work_folder(tmp_path / OUT)).exists() and states(tmp_path):
                command = [
                    sys.executable,
                    "-m",
                    "vfi_pipeline.jobs.work",
                    str(work_folder(tmp_path / OUT)),
                    "name=guest",
                ]
                environment = executor.worker_environment(1)
                hands.append(subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True))
            time.sleep(0.05)

    with meanwhile(join):
        code, said = run(film, "workers=2")
    assert code == 0, said
    film.check(tmp_path / OUT)
    hands[0].communicate(timeout=60)


# -------------------------------------------------------------------------------------------------------- Ray, Slurm


@pytest.mark.slow
def test_a_node_of_the_cluster_goes_down(run, tmp_path, film, ray_cluster):
    node = {"num_cpus": 1, "object_store_memory": 80 << 20}
    third = ray_cluster.add_node(**node)
    gone = []

    def remove(over):
        while not over.is_set() and not gone:
            if len(working(tmp_path)) == 3:
                ray_cluster.remove_node(third)
                gone.append(third)
            time.sleep(0.05)

    try:
        with meanwhile(remove):
            code, said = run(film, "workers=3", "executor=ray", f"address={ray_cluster.address}")
    finally:
        if not gone:
            ray_cluster.remove_node(third)
    assert code == 0, said
    assert gone and "is lost" in said
    film.check(tmp_path / OUT)


@pytest.mark.slow
def test_a_cluster_of_its_own_listens_on_this_machine_alone(process, tmp_path, film):
    pytest.importorskip("ray")
    listening: set[str] = set()
    child = process(*film.words, f"output={OUT}", "workers=2", "executor=ray")
    while child.poll() is None:
        listening |= set(addresses(child.pid))
        time.sleep(0.2)
    assert child.returncode == 0, child.communicate()
    film.check(tmp_path / OUT)
    assert listening and all(address in ("127.0.0.1", "::1", "::ffff:127.0.0.1") for address in listening), listening


def addresses(pid: int) -> list[str]:
    """The addresses that ``pid`` and its descendants listen on."""
    psutil = pytest.importorskip("psutil")
    found = []
    with contextlib.suppress(psutil.Error):
        root = psutil.Process(pid)
        for one in [root, *root.children(recursive=True)]:
            with contextlib.suppress(psutil.Error):
                found += [c.laddr.ip for c in one.net_connections("inet") if c.status == psutil.CONN_LISTEN]
    return found


def test_slurm_without_sbatch_is_told(run, tmp_path, film, monkeypatch):
    pytest.importorskip("submitit")
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("VFI_FFMPEG", ffmpeg.ffmpeg_path())
    code, said = run(film, "executor=slurm", "workers=2")

    assert code == 4 and "Slurm" in said and "slurm=[" in said
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize(("name", "library"), [("ray", "ray"), ("slurm", "submitit")])
def test_a_missing_library_is_told_with_the_line_that_installs_it(run, tmp_path, film, monkeypatch, name, library):
    monkeypatch.setitem(sys.modules, library, None)
    code, said = run(film, f"executor={name}", "workers=2")

    assert code == 4 and "pip install 'vfi-pipeline[cluster]'" in said
    assert os.listdir(tmp_path) == []


def test_an_address_where_no_cluster_is(run, tmp_path, film):
    pytest.importorskip("ray")
    for address in ("127.0.0.1:1", "nowhere", "127.0.0.1:99999"):
        code, said = run(film, "executor=ray", f"address={address}")
        assert code == 4 and f"address={address}" in said
    assert os.listdir(tmp_path) == []
