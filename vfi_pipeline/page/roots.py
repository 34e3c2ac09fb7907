"""Which files the page may touch: those below the folders named at the start, links resolved."""

from __future__ import annotations

import os
import re
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from vfi_pipeline.errors import BAD_INPUT, ENVIRONMENT, UserError
from vfi_pipeline.jobs.journal import SUFFIX as WORK
from vfi_pipeline.jobs.names import free_name
from vfi_pipeline.jobs.sources import VIDEOS
from vfi_pipeline.media.images import SUFFIXES as IMAGES
from vfi_pipeline.media.images import natural_key

STATE = ".vfi-queue"
"""The page's own folder in the first root: queue, logs, uploads under way. Nothing in it can be chosen."""

UPLOADS = "uploads"
"""Where dropped files go, in the first root."""

MOST_SHOWN = 500
"""Names of a folder that are listed at most."""


@dataclass(frozen=True)
class Listing:
    """What can be chosen in a folder: names in natural order.

    Attributes:
        folder: absolute, without links.
        above: the folder above, None at a root.
        unreadable: names that are no Unicode, which a browser could not send back.
        more: entries beyond ``MOST_SHOWN``.
    """

    folder: Path
    above: Path | None
    folders: tuple[str, ...] = ()
    films: tuple[str, ...] = ()
    pictures: tuple[str, ...] = ()
    unreadable: int = 0
    more: int = 0


class Roots:
    """The folders below which files may be read and written."""

    def __init__(self, folders: Sequence[str | os.PathLike[str]]) -> None:
        """
        Raises:
            UserError: if there is none, or one is no folder.
        """
        if not folders:
            raise UserError("No folder was named that the page may use.", "--root /path/to/films")
        resolved = []
        for folder in folders:
            real = Path(os.path.realpath(folder))
            if not real.is_dir():
                raise UserError(f"--root {folder} is no folder.", "--root with a folder that exists.")
            resolved.append(real)
        self.folders = tuple(dict.fromkeys(resolved))

    @property
    def state(self) -> Path:
        """The page's own folder."""
        return self.folders[0] / STATE

    def holds(self, path: str | os.PathLike[str]) -> bool:
        """Whether ``path``, links resolved, lies below a root and not in the page's own folder."""
        try:
            real = Path(os.path.realpath(path))
        except (OSError, ValueError):
            return False
        return any(real.is_relative_to(root) for root in self.folders) and not real.is_relative_to(self.state)

    def inside(self, path: str | os.PathLike[str]) -> Path:
        """``path`` without links.

        Raises:
            UserError: if it lies outside of the roots, or there is nothing. The message is the same: the page does not
                tell what exists elsewhere.
        """
        text = os.fspath(path)
        if not text or "\0" in text or not os.path.isabs(text) or not self.holds(text) or not os.path.exists(text):
            raise UserError(
                f"{shown(text)} is not below the folders that this page may use, or does not exist.",
                f"a file below {', '.join(shown(str(root)) for root in self.folders)}; --root at the start adds more.",
                BAD_INPUT,
            )
        return Path(os.path.realpath(text))

    def listing(self, folder: str | os.PathLike[str]) -> Listing:
        """What can be chosen in ``folder``; hidden entries, work folders and links that lead out are left out.

        Raises:
            UserError: if it lies outside, or cannot be listed.
        """
        real = self.inside(folder)
        try:
            entries = sorted((entry for entry in real.iterdir() if self._offered(entry)), key=natural_key)
        except OSError as error:
            raise UserError(
                f"{shown(str(folder))} cannot be listed ({error.strerror}).",
                "a folder, or other permissions.",
                BAD_INPUT,
            ) from error
        sound = [entry for entry in entries if is_unicode(entry.name)]
        files = [entry for entry in sound if entry.is_file()]
        folders = [entry.name for entry in sound if entry.is_dir()]
        films = [file.name for file in files if file.suffix.lower() in VIDEOS]
        pictures = [file.name for file in files if file.suffix.lower() in IMAGES and file.suffix.lower() not in VIDEOS]
        return Listing(
            real,
            None if real in self.folders else real.parent,
            tuple(folders[:MOST_SHOWN]),
            tuple(films[:MOST_SHOWN]),
            tuple(pictures[:MOST_SHOWN]),
            unreadable=len(entries) - len(sound),
            more=sum(max(0, len(group) - MOST_SHOWN) for group in (folders, films, pictures)),
        )

    def _offered(self, entry: Path) -> bool:
        return not entry.name.startswith(".") and not entry.name.endswith(WORK) and self.holds(entry)

    def upload_name(self, name: str) -> Path:
        """A free name for an uploaded file in the first root's ``uploads`` folder, which is made."""
        folder = self.folders[0] / UPLOADS
        folder.mkdir(exist_ok=True)
        if not self.holds(folder):
            raise UserError(f"{UPLOADS} leads out of {self.folders[0]}.", "remove that link.", ENVIRONMENT)
        return free_name(folder / safe_name(name))


def safe_name(name: str) -> str:
    """A file's name made of a stranger's: no folders, no control characters, not hidden, at most 150 bytes.

    Letters of any script, brackets, quotes and ``$`` stay: nothing here hands names to a shell or shows them as HTML.
    """
    plain = re.split(r"[/\\]", unicodedata.normalize("NFC", name))[-1]
    plain = "".join("_" if unicodedata.category(sign)[0] == "C" else sign for sign in plain).strip(" ").lstrip(".")
    stem, suffix = os.path.splitext(plain)
    suffix = suffix.encode()[:16].decode(errors="ignore")
    stem = stem.encode()[: 150 - len(suffix.encode())].decode(errors="ignore")
    return (stem or "film") + suffix


def is_unicode(name: str) -> bool:
    """Whether a name can be sent as text; names on a disk are bytes."""
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


def shown(text: str) -> str:
    """A name as one line for people: control characters and broken bytes as escapes. Still to be escaped for HTML."""
    return "".join(
        sign.encode("unicode_escape").decode() if unicodedata.category(sign) in ("Cc", "Cf", "Cs", "Zl", "Zp") else sign
        for sign in text
    )


def total_bytes(paths: Iterable[Path]) -> int:
    """How much the files take; those that are gone meanwhile count as nothing."""
    total = 0
    for path in paths:
        try:
            total += path.stat().st_size
        except OSError:
            pass
    return total
