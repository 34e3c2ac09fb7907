"""From what the user named to films: files, folders, globs, numbered patterns, lists. Looks at names only."""

from __future__ import annotations

import difflib
import glob
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from vfi_pipeline.errors import BAD_INPUT, UserError
from vfi_pipeline.media.images import NUMBERED, demuxer, natural_key
from vfi_pipeline.media.images import SUFFIXES as IMAGES

VIDEOS = frozenset(
    ".mp4 .m4v .mov .mkv .webm .avi .ts .m2ts .mts .mpg .mpeg .vob .wmv .asf .flv .f4v .3gp .3g2 .ogv .ogg .mxf "
    ".nut .y4m .gif .apng .dv .rm .rmvb .divx .qt .ivf .h264 .264 .hevc .265 .av1 .obu".split()
)


@dataclass(frozen=True)
class Film:
    """One thing to work on: a media file, or images in order.

    ``path`` is the file, or the folder that holds the images; ``stem`` names the output and ``home`` is where it goes
    if the user does not say.
    """

    path: Path
    images: tuple[Path, ...]
    stem: str
    home: Path

    @property
    def label(self) -> str:
        """The film's name for messages."""
        if len(self.images) == 1:
            return self.images[0].name
        return f"{self.path.name or self.path}{os.sep if self.images else ''}"

    @property
    def files(self) -> tuple[Path, ...]:
        """Every file that is read."""
        return self.images or (self.path,)


def films(inputs: Sequence[str]) -> list[Film]:
    """Every film that ``inputs`` name, in order. Several images make one sequence, several videos a batch.

    A folder of videos is a batch of them; a folder or glob of images or ``frame_%04d.png`` is one sequence, in natural
    order (2 before 10). Images named one by one keep the order given.

    Raises:
        UserError: if something named does not exist or holds nothing to work on.
    """
    found: list[Film] = []
    loose: list[Path] = []
    for text in inputs:
        for path in _named(text):
            if path.is_dir():
                found += _folder(path)
            elif path.suffix.lower() in IMAGES and demuxer(path):
                loose.append(path)
            else:
                found.append(Film(path, (), path.stem, path.parent))
    if loose:
        found.append(Film(loose[0].parent, tuple(loose), _common_stem(loose), loose[0].parent))
    unique = {film.files: film for film in found}
    return list(unique.values())


def _named(text: str) -> list[Path]:
    if not text:
        raise UserError("input= names nothing: it does not exist.", "input=clip.mp4", BAD_INPUT)
    path = Path(text)
    if os.path.lexists(path):
        if not path.exists():
            raise UserError(f"{text} is a link to nothing.", "check where it points.", BAD_INPUT)
        if not (path.is_file() or path.is_dir()):
            raise UserError(f"{text} is neither a file nor a folder.", "save it to a file first.", BAD_INPUT)
        return [path]
    if text.startswith("[") and text.endswith("]"):
        return [path for part in text[1:-1].split(",") for path in _named(part.strip().strip("'\""))]
    if NUMBERED.search(path.name):
        pattern = NUMBERED.sub("<>", path.name)
        regex = r"\d+".join(re.escape(part) for part in pattern.split("<>"))
        if path.parent.is_dir():
            matches = [child for child in path.parent.iterdir() if re.fullmatch(regex, child.name)]
            if matches:
                return sorted(matches, key=natural_key)
    if glob.has_magic(text):
        matches = [Path(name) for name in glob.glob(os.path.expanduser(text), recursive=True)]
        if matches:
            return sorted(matches, key=lambda match: (natural_key(match.parent), natural_key(match)))
    if text.startswith("~") and os.path.lexists(os.path.expanduser(text)):
        return [Path(os.path.expanduser(text))]
    raise UserError(f"{text} does not exist.", _remedy(path), BAD_INPUT)


def _folder(folder: Path) -> list[Film]:
    try:
        files = sorted((child for child in folder.iterdir() if not child.name.startswith(".")), key=natural_key)
    except OSError as error:
        raise UserError(
            f"{folder} cannot be listed ({error.strerror}).", "check its permissions.", BAD_INPUT
        ) from error
    videos = [file for file in files if file.suffix.lower() in VIDEOS and file.is_file()]
    if videos:
        return [Film(file, (), file.stem, folder) for file in videos]
    images = [file for file in files if file.suffix.lower() in IMAGES and file.is_file()]
    if not images:
        raise UserError(f"{folder} holds neither videos nor images.", "name the files themselves.", BAD_INPUT)
    return [Film(folder, tuple(images), folder.resolve().name or "film", folder.absolute().parent)]


def _common_stem(paths: Sequence[Path]) -> str:
    if len(paths) == 1:
        return paths[0].stem
    stem = os.path.commonprefix([path.stem for path in paths]).rstrip("0123456789").rstrip("-_ .")
    return stem or paths[0].stem


def _remedy(path: Path) -> str:
    if re.match(r"\w+:/", str(path)):
        return "download it first: addresses are not opened."
    try:
        near = difflib.get_close_matches(path.name, os.listdir(path.parent), n=1, cutoff=0.6)
    except OSError:
        return f"the folder {path.parent} does not exist either."
    return (
        f"did you mean {path.parent / near[0]}?" if near else "check the name; it is looked for from where you stand."
    )
