"""The work folder beside an output, its journal, and what must not have changed for a job to go on.

``clip_60fps.mp4.vfi-work/`` holds ``lock``, ``journal.json`` and the finished segments. The journal is written beside
itself, flushed to the disk and renamed into place, after the segment it speaks of has been flushed: whenever the power
goes, it tells the truth.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import re
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from vfi_pipeline.errors import USAGE, UserError
from vfi_pipeline.jobs.fingerprint import CODE

log = logging.getLogger(__name__)

SUFFIX = ".vfi-work"

STYLE_FOLDER = "style"
"""In the work folder: what a style has painted so far, for a job that goes on."""

TOOL = "tool"
"""The fact of a fingerprint that holds the version of the program."""


def work_folder(target: Path) -> Path:
    """The folder for the unfinished work on ``target``, beside it. A pattern's ``%`` is spelled out.

    ffmpeg joins no files below a name with both a line break and one of ``#`` and ``?``: they become ``_`` and a hash.
    """
    name = target.name.replace("%", "pct")
    if re.search(r"[#?\r\n]", name):
        name = re.sub(r"[#?\r\n]", "_", name) + "-" + hashlib.sha256(os.fsencode(target.name)).hexdigest()[:12]
    # 255 bytes is the usual limit of a name; a long one is told apart by its hash.
    if len(os.fsencode(name)) > 200:
        name = name[:40] + "-" + hashlib.sha256(os.fsencode(target.name)).hexdigest()[:12]
    return target.parent / (name + SUFFIX)


@dataclass
class Done:
    """One finished segment. ``content`` is the quick hash of its file or files; ``facts`` is for the summary, and
    ``uncertain`` for the report: (source index, confidence) of pairs, as in ``synthesis.statistics``."""

    frames: int
    size: str
    content: str
    cuts: list[int] = field(default_factory=list)
    facts: dict[str, float] = field(default_factory=dict)
    uncertain: list[tuple[int, float]] = field(default_factory=list)


class Journal:
    """What is done of one job, on the disk. Made by ``open_journal``; every change is durable before it returns."""

    def __init__(self, path: Path, fingerprint: Mapping[str, str], command: str) -> None:
        self.path = path
        self.fingerprint = dict(fingerprint)
        self.command = command
        self.done: dict[int, Done] = {}
        self.publishing = False  # the film is complete and on its way to its final name
        self.finished = False  # and has got it; not written down, for then there is no folder any more

    def record(self, segment: int, done: Done) -> None:
        """Notes ``segment`` as finished; its file must be flushed already."""
        self.done[segment] = done
        self.save()

    def save(self) -> None:
        """Writes the journal beside itself, flushes it and renames it into place."""
        document = {
            "fingerprint": self.fingerprint,
            "command": self.command,
            "publishing": self.publishing,
            "segments": {str(index): vars(done) for index, done in sorted(self.done.items())},
        }
        write_durably(self.path, json.dumps(document, indent=1, ensure_ascii=True).encode())

    @classmethod
    def load(cls, path: Path) -> Journal:
        """Reads a journal; ValueError or KeyError if it is damaged, OSError if it is not there."""
        document = json.loads(path.read_text(encoding="utf-8"))
        journal = cls(path, _texts(document["fingerprint"]), str(document["command"]))
        journal.publishing = bool(document["publishing"])
        for index, fields in document["segments"].items():
            journal.done[int(index)] = Done(
                int(fields["frames"]), str(fields["size"]), str(fields["content"]),
                [int(cut) for cut in fields["cuts"]], {str(k): float(v) for k, v in fields["facts"].items()},
                [(int(pair), float(confidence)) for pair, confidence in fields.get("uncertain", ())],
            )  # fmt: skip
        return journal

    def differences(self, fingerprint: Mapping[str, str]) -> list[str]:
        """What is not as it was, see ``differences``."""
        return differences(self.fingerprint, fingerprint)


def differences(before: Mapping[str, str], now: Mapping[str, str]) -> list[str]:
    """What two fingerprints do not have in common, one ``name: before -> now`` each."""
    changed = [name for name in sorted({*before, *now}) if before.get(name) != now.get(name)]
    return [f"{name}: {_short(before.get(name))} -> {_short(now.get(name))}" for name in changed]


def open_journal(folder: Path, fingerprint: Mapping[str, str], command: str, resume: bool) -> Journal:
    """The journal of a locked work folder: the old one if it fits, else a new one.

    Raises:
        UserError: if the folder holds work on another input or with other settings and ``resume`` is on.
    """
    path = folder / "journal.json"
    old = None
    if resume and path.exists():
        try:
            old = Journal.load(path)
        except (ValueError, KeyError, TypeError, AttributeError, OSError) as error:
            log.warning("%s is damaged (%s): starting anew.", path, error)
    if old is not None:
        _refuse_other_work(folder, old, fingerprint)
        old.command = command
        return old
    for child in folder.iterdir():
        if child.name != "lock":
            remove(child)
    journal = Journal(path, fingerprint, command)
    journal.save()
    return journal


def _refuse_other_work(folder: Path, journal: Journal, fingerprint: Mapping[str, str]) -> None:
    """UserError if the journal is of another input, of other settings, or of another version of the program."""
    changed = {name.partition(": ")[0]: name for name in journal.differences(fingerprint)}
    if not changed:
        return
    holds = f"{folder.name} holds {len(journal.done)} finished segments"
    if painted := sum(1 for _ in folder.glob(f"{STYLE_FOLDER}/pass_*/*.png")):
        holds += f" and {painted} painted frames"
    packages = [name[len(CODE) :] for name in changed if name.startswith(CODE)]
    settings = [line for name, line in changed.items() if name != TOOL and not name.startswith(CODE)]
    if TOOL not in changed and not packages:
        raise UserError(
            f"{holds} that do not fit this command. Changed: {'; '.join(settings)}.",
            "the settings and input of before, or resume=false to start anew.",
            USAGE,
        )
    # A setting that only one of two versions has is not one that somebody changed.
    common = journal.fingerprint.keys() & fingerprint.keys()
    settings = [line for line in settings if line.partition(": ")[0] in common]
    before, now = journal.fingerprint.get(TOOL, "unknown"), fingerprint.get(TOOL, "unknown")
    if TOOL in changed:
        maker, finish = f"version {before}; version {now} may make other frames", f"finish with version {before}"
    else:
        maker = f"an earlier state of version {now}; frames may differ, for its code changed in {', '.join(packages)}"
        finish = "finish with the code of before"
    more = f" Changed, too: {'; '.join(settings)}." if settings else ""
    raise UserError(f"{holds} made by {maker}.{more}", f"resume=false to start anew, or {finish}.", USAGE)


def write_durably(path: Path, content: bytes) -> None:
    """Writes ``content`` beside ``path``, flushes it to the disk and renames it into place."""
    beside = path.with_name(path.name + ".new")
    with beside.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    os.replace(beside, path)
    flush_folder(path.parent)


def flush(path: Path) -> None:
    """Makes sure that a finished file is on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def flush_folder(folder: Path) -> None:
    """Makes sure that a folder's names are on the disk, where the system can do that."""
    try:
        flush(folder)
    except OSError:
        log.debug("cannot flush the folder %s", folder)


def remove_folder(folder: Path) -> None:
    """Removes a work folder, the lock last, so that no one slips in between."""
    for child in folder.iterdir():
        if child.name != "lock":
            remove(child)
    (folder / "lock").unlink(missing_ok=True)
    try:
        folder.rmdir()
    except OSError as error:
        log.warning("%s could not be removed (%s).", folder, error.strerror)


def remove(path: Path) -> None:
    """Removes a file or a folder, also one that others still write into."""
    if not path.is_dir() or path.is_symlink():
        path.unlink()
        return
    for _ in range(3):  # a worker that has not heard yet may put a file into what is being removed
        shutil.rmtree(path, ignore_errors=True)
        if not path.exists():
            return
    shutil.rmtree(path)


def _texts(mapping: Mapping[str, Any]) -> dict[str, str]:
    return {str(key): str(value) for key, value in mapping.items()}


def _short(value: str | None) -> str:
    if value is None:
        return "not set"
    return value if len(value) <= 60 else value[:24] + "..." + value[-8:]
