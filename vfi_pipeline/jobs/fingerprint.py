"""What files, and this program's own code, must still be for work on a film to go on."""

from __future__ import annotations

import hashlib
from functools import cache
from pathlib import Path

import vfi_pipeline

_SAMPLE = 1 << 20


def file_fingerprint(path: Path) -> dict[str, str]:
    """Size, time of change, and a hash of the first and last mebibyte of a file."""
    stat = path.stat()
    digest = hashlib.sha256()
    with path.open("rb") as file:
        digest.update(file.read(_SAMPLE))
        if stat.st_size > _SAMPLE:
            file.seek(max(_SAMPLE, stat.st_size - _SAMPLE))
            digest.update(file.read(_SAMPLE))
    return {"size": str(stat.st_size), "mtime": str(stat.st_mtime_ns), "content": digest.hexdigest()[:32]}


def files_fingerprint(paths: tuple[Path, ...]) -> dict[str, str]:
    """The same for an image sequence: names, sizes and times of all, content of the first and the last."""
    digest = hashlib.sha256()
    for path in paths:
        stat = path.stat()
        digest.update(f"{path.name}\0{stat.st_size}\0{stat.st_mtime_ns}\0".encode("utf-8", "surrogateescape"))
    ends = [file_fingerprint(path)["content"] for path in (paths[0], paths[-1])]
    return {"files": str(len(paths)), "listing": digest.hexdigest()[:32], "content": "".join(ends)[:64]}


def content_hash(path: Path) -> str:
    """SHA-256 of a whole file, 32 hex digits: for weights, masks and cut lists."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(_SAMPLE):
            digest.update(block)
    return digest.hexdigest()[:32]


NEUTRAL = ("adapters", "commands", "evaluation", "metrics", "page", "training", "viz")
"""Packages that decide no sample of a frame: they ask for frames, show, train or measure."""

CODE = "code."
"""How the names of the facts of ``code_fingerprint`` begin."""


@cache
def code_fingerprint(root: Path = Path(vfi_pipeline.__file__).parent) -> dict[str, str]:
    """The version of all that decides frames: constants of the cut detector, algorithms, encoders' settings.

    Releases have numbers, and states between them do not, so this is a hash of the source.

    Returns:
        ``code.PACKAGE`` -> 12 hex digits of the SHA-256 of its modules, for each package but the neutral ones. Line
        ends do not count.
    """
    facts = {}
    for package in sorted(child for child in root.iterdir() if (child / "__init__.py").is_file()):
        if package.name in NEUTRAL:
            continue
        digest = hashlib.sha256()
        for path in sorted(package.rglob("*.py")):
            source = path.read_bytes().replace(b"\r\n", b"\n")
            digest.update(path.relative_to(root).as_posix().encode() + b"\0" + source + b"\0")
        facts[CODE + package.name] = digest.hexdigest()[:12]
    return facts
