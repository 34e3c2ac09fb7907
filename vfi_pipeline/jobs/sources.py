"""From what the user named to films: files, folders, globs, numbered patterns, lists.

Results of this program are no inputs unless they are named themselves: they are told by the mark in the file, or by a
name that the usual templates make of another file beside them.
"""

from __future__ import annotations

import difflib
import glob
import os
import re
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from vfi_pipeline.errors import BAD_INPUT, UserError
from vfi_pipeline.media.images import BY_PILLOW, NUMBERED, demuxer, is_readable, natural_key
from vfi_pipeline.media.images import SUFFIXES as IMAGES
from vfi_pipeline.media.mark import is_result

VIDEOS = frozenset(
    ".mp4 .m4v .mov .mkv .webm .avi .ts .m2ts .mts .mpg .mpeg .vob .wmv .asf .flv .f4v .3gp .3g2 .ogv .ogg .mxf "
    ".nut .y4m .gif .apng .dv .rm .rmvb .divx .qt .ivf .h264 .264 .hevc .265 .av1 .obu".split()
)

BESIDE_RESULTS = (".cuts.json", ".adapted.safetensors", ".maps.safetensors")
"""What this program writes beside its results; adapted weights are of 0.6 and before."""

RESULT, OTHER, PICTURE, UNREADABLE, FOLDER = "result", "other", "picture", "unreadable", "folder"
_WHY = {
    RESULT: ("result{s} of this program", ""),
    OTHER: ("file{s} that {is} neither film nor picture", ""),
    PICTURE: ("picture{s} beside films", 'Try: input= with a pattern, "{example}", to work on {it}'),
    UNREADABLE: ("picture{s} that cannot be read", "Try: save {it} as PNG"),
    FOLDER: ("folder{s} with films or pictures in {it}", "Try: input={example} as well"),
}


class LeftOut(NamedTuple):
    """A file or folder that was found and is not worked on; ``why`` is one of the words above."""

    path: Path
    why: str


@dataclass(frozen=True)
class Film:
    """One thing to work on: a media file, or images in order.

    ``path`` is the file, or the folder that holds the images; ``stem`` names the output and ``home`` is where it goes
    if the user does not say. ``listed`` are all pictures of a folder, glob or pattern, also those that cannot be read:
    their numbers tell the images' places. It is empty where images were named one by one.
    """

    path: Path
    images: tuple[Path, ...]
    stem: str
    home: Path
    listed: tuple[Path, ...] = ()

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


@dataclass(frozen=True)
class Selection:
    """What is worked on and what was left out. ``scanned``: a folder or glob of films was among what was named."""

    films: tuple[Film, ...]
    left_out: tuple[LeftOut, ...] = ()
    scanned: bool = False

    def lines(self) -> list[str]:
        """One line for each reason of leaving something out: how many, which, and what to do."""
        return [
            _left_out_line(why, [left.path for left in self.left_out if left.why == why])
            for why in _WHY
            if self._has(why)
        ]

    def _has(self, why: str) -> bool:
        return any(left.why == why for left in self.left_out)


def _left_out_line(why: str, paths: Sequence[Path]) -> str:
    alone = len(paths) == 1
    names = ", ".join(path.name + os.sep * (why == FOLDER) for path in paths[:10])
    more = f" and {len(paths) - 10} more" if len(paths) > 10 else ""
    words = {"s": "" if alone else "s", "is": "is" if alone else "are", "it": "it" if alone else "them"}
    example = shlex.quote(str(paths[0])) if why == FOLDER else paths[0].with_name(f"*{paths[0].suffix}")
    what, remedy = (text.format(**words, example=example) for text in _WHY[why])
    heic = any(path.suffix.lower() in (".heic", ".heif", ".hif") for path in paths) and why == UNREADABLE
    remedy = "Try: pip install pillow-heif, which reads HEIC" if heic else remedy
    return f"left out: {len(paths)} {what} ({names}{more}){'. ' + remedy if remedy else ''}"


def is_film(text: str) -> bool:
    """Whether an input is a film, or a list, a glob or a folder that holds one, by the ending of its name."""
    path = Path(text)
    try:
        if path.is_dir():
            return any(child.suffix.lower() in VIDEOS for child in path.iterdir())
        if path.suffix.lower() in VIDEOS or os.path.lexists(path):
            return path.suffix.lower() in VIDEOS
        if text.startswith("[") and text.endswith("]"):
            return any(is_film(part.strip().strip("'\"")) for part in text[1:-1].split(","))
        return glob.has_magic(text) and any(Path(name).suffix.lower() in VIDEOS for name in glob.glob(text))
    except (OSError, ValueError):
        return False


def films(inputs: Sequence[str]) -> list[Film]:
    """The films of ``select``."""
    return list(select(inputs).films)


def select(inputs: Sequence[str], output: str | None = None) -> Selection:
    """Every film that ``inputs`` name, in order. Several images make one sequence, several videos a batch.

    A folder of videos is a batch of them; a folder or glob of images or ``frame_%04d.png`` is one sequence, in natural
    order (2 before 10). Images named one by one keep the order given. Results of this program are left out of folders
    and globs, and of a list that also names what they were made from.

    Args:
        output: ``output=``: images that it would overwrite are no inputs if others are.

    Raises:
        UserError: if something named does not exist or holds nothing to work on.
    """
    films: list[Film] = []
    loose: list[Path] = []
    left: list[LeftOut] = []
    scanned, listed = False, 0
    named = [(text, *_named(text)) for text in inputs]
    several = [path for _, paths, _ in named for path in paths]
    for text, paths, searched in named:
        kept, dropped = _without_results(paths, several, output, searched)
        left += dropped
        if searched and not kept:
            raise _only_results(text, paths)
        for path in kept:
            if path.is_dir():
                more, dropped = _folder(path, output)
                left += dropped
                scanned = scanned or not more[0].images
                films += more
            elif path.suffix.lower() in IMAGES and demuxer(path):
                loose.append(path)
                listed += not searched
            else:
                scanned = scanned or searched
                films.append(Film(path, (), path.stem, path.parent))
    if loose:
        home = loose[0].parent
        films.append(Film(home, tuple(loose), _common_stem(loose), home, () if listed else tuple(loose)))
    unique = {film.files: film for film in films}
    taken = {file for film in unique.values() for file in film.files}
    return Selection(
        tuple(unique.values()), tuple(left_out for left_out in left if left_out.path not in taken), scanned
    )


_NAMES = r"(_\d+(\.\d+)?fps|_slow\d+(\.\d+)?x)$"
"""What the usual templates put behind the name of the source."""


def _without_results(
    paths: Sequence[Path], beside: Sequence[Path], output: str | None, searched: bool
) -> tuple[list[Path], list[LeftOut]]:
    """``paths`` without results: of a search all of them, of a list the films whose source is named as well.

    Images that are all results are a sequence that is worked on further.
    """
    pattern = _output_pattern(output)
    old = [path for path in paths if pattern is not None and searched and pattern.fullmatch(os.path.abspath(path))]
    if len(beside) < 2 and not searched or len(old) == len(paths):
        return list(paths), []  # if the output would replace the input, that is told later
    pictures = {path for path in paths if path.suffix.lower() in IMAGES}
    marked = {path for path in paths if path.is_file() and (searched or path not in pictures) and is_result(path)}
    if searched:
        stems = {path.stem for path in beside}
        results = marked | {path for path in paths if re.sub(_NAMES, "", path.stem) in stems - {path.stem}}
        results = results - pictures if pictures.union(old) <= marked.union(old) else results
    else:
        sources = {path.stem for path in beside if path not in marked}
        results = {path for path in marked if any(stem in path.stem for stem in sources)}
    results |= set(old)
    return [path for path in paths if path not in results], [LeftOut(path, RESULT) for path in paths if path in results]


def _output_pattern(output: str | None) -> re.Pattern[str] | None:
    """The absolute names of the numbered images that ``output=`` stands for."""
    if output is None or not NUMBERED.search(os.path.basename(output)):
        return None
    parts = NUMBERED.sub("\0", os.path.abspath(output)).split("\0")
    return re.compile(r"\d+".join(re.escape(part) for part in parts))


def _only_results(text: str, paths: Sequence[Path]) -> UserError:
    return UserError(
        f"{text} holds only results of this program ({len(paths)}).",
        f"input={shlex.quote(str(paths[0]))} (what is named itself is taken).",
        BAD_INPUT,
    )


def _named(text: str) -> tuple[list[Path], bool]:
    """What ``text`` names, and whether that was searched for (a glob, a numbered pattern) rather than named."""
    if not text:
        raise UserError("input= names nothing: it does not exist.", "input=clip.mp4", BAD_INPUT)
    path = Path(text)
    if os.path.lexists(path):
        if not path.exists():
            raise UserError(f"{text} is a link to nothing.", "check where it points.", BAD_INPUT)
        if not (path.is_file() or path.is_dir()):
            raise UserError(f"{text} is neither a file nor a folder.", "save it to a file first.", BAD_INPUT)
        return [path], False
    if text.startswith("[") and text.endswith("]"):
        return [path for part in text[1:-1].split(",") for path in _named(part.strip().strip("'\""))[0]], False
    if NUMBERED.search(path.name):
        pattern = NUMBERED.sub("<>", path.name)
        regex = r"\d+".join(re.escape(part) for part in pattern.split("<>"))
        if path.parent.is_dir():
            matches = [child for child in path.parent.iterdir() if re.fullmatch(regex, child.name)]
            if matches:
                return sorted(matches, key=natural_key), True
    if glob.has_magic(text):
        matches = [Path(name) for name in glob.glob(os.path.expanduser(text), recursive=True)]
        if matches:
            return sorted(matches, key=lambda match: (natural_key(match.parent), natural_key(match))), True
    if text.startswith("~") and os.path.lexists(os.path.expanduser(text)):
        return [Path(os.path.expanduser(text))], False
    searched = glob.has_magic(text) or NUMBERED.search(path.name) is not None
    what = f"{text} does not exist{', and no file matches it' if searched else ''}."
    raise UserError(what, _remedy(text, path, searched), BAD_INPUT)


def _folder(folder: Path, output: str | None) -> tuple[list[Film], list[LeftOut]]:
    """The films of a folder, or its images as one, and what else is in it. Hidden files are passed over."""
    try:
        entries = sorted((child for child in folder.iterdir() if not child.name.startswith(".")), key=natural_key)
    except OSError as error:
        raise UserError(
            f"{folder} cannot be listed ({error.strerror}).", "check its permissions.", BAD_INPUT
        ) from error
    files = [entry for entry in entries if entry.is_file()]
    media = [file for file in files if file.suffix.lower() in (*VIDEOS, *IMAGES)]
    kept, left = _without_results(media, media, output, searched=True)
    if media and not kept:
        raise _only_results(str(folder), media)
    for file in files:
        if file not in media:
            left.append(LeftOut(file, RESULT if file.name.endswith(BESIDE_RESULTS) else OTHER))
    left += [LeftOut(entry, FOLDER) for entry in entries if entry.is_dir() and _holds_media(entry)]
    videos = [file for file in kept if file.suffix.lower() in VIDEOS]
    pictures = [file for file in kept if file.suffix.lower() not in VIDEOS]
    if videos:
        left += [LeftOut(file, PICTURE) for file in pictures]
        return [Film(file, (), file.stem, folder) for file in videos], left
    images = [file for file in pictures if is_readable(file)]
    if not pictures:
        raise _nothing_in(folder, files, [entry for entry in entries if entry.is_dir()])
    if not images:
        heic = any(demuxer(file) == BY_PILLOW for file in pictures)
        raise UserError(
            f"{folder}: none of its {len(pictures)} pictures can be read ({pictures[0].name}).",
            "pip install pillow-heif, which reads HEIC." if heic else "save them as PNG.",
            BAD_INPUT,
        )
    left += [LeftOut(file, UNREADABLE) for file in pictures if file not in images]
    stem, home = folder.resolve().name or "film", folder.absolute().parent
    return [Film(folder, tuple(images), stem, home, tuple(pictures))], left


def _holds_media(folder: Path) -> bool:
    """Whether something to work on lies directly in a folder that is none of ours."""
    if folder.name.endswith(".vfi-work"):
        return False
    try:
        inside = [child for child in folder.iterdir() if child.suffix.lower() in (*VIDEOS, *IMAGES)]
    except OSError:
        return False
    return any(child.is_file() and not is_result(child) for child in inside[:20])


def _common_stem(paths: Sequence[Path]) -> str:
    if len(paths) == 1:
        return paths[0].stem
    stem = os.path.commonprefix([path.stem for path in paths]).rstrip("0123456789").rstrip("-_ .")
    return stem or paths[0].stem


def _nothing_in(folder: Path, files: Sequence[Path], folders: Sequence[Path]) -> UserError:
    """The error for a folder with nothing to work on: what lies near it that is."""
    inside = next((entry for entry in folders if _holds_media(entry)), None)
    if inside is not None:
        remedy = f"input={_typed(inside)}{os.sep}"
    elif files:
        remedy = f"input={_typed(files[0])} if that is a film or a picture, whatever its ending."
    else:
        remedy = "input= with a folder of films or pictures, or with one of them."
    empty = ": it is empty" if not files and not folders else ""
    return UserError(f"{folder} holds neither videos nor images{empty}.", remedy, BAD_INPUT)


def _typed(path: Path | str) -> str:
    """A name as a shell takes it, wildcards and all."""
    return shlex.quote(str(path))


def _remedy(text: str, path: Path, searched: bool) -> str:
    """What to type in place of a name that matches nothing."""
    if re.match(r"\w+:/", text):
        return "download it first: addresses are not opened."
    if len(text) > 2 and text[0] == text[-1] and text[0] in "'\"":
        return f"input={_typed(text[1:-1])} (quotes are for the shell alone)."
    folder = path.parent
    if not folder.is_dir():
        near = _nearest(folder)
        return f"input={_typed(near / path.name)}" if near else f"another folder: {folder} does not exist either."
    if not searched:
        near = _nearest(path)
        return (
            f"did you mean {near}? input={_typed(near)}"
            if near
            else "check the name; it is looked for from where you stand."
        )
    try:
        endings = [child.suffix for child in sorted(folder.iterdir(), key=natural_key) if _is_media(child)]
    except OSError:
        endings = []
    if not endings:
        return f"another folder: {folder} holds neither films nor pictures."
    most = max(dict.fromkeys(endings), key=endings.count)
    return f"input={_typed(folder / f'*{most}')} ({endings.count(most)} of that kind are in {folder})."


def _is_media(path: Path) -> bool:
    return path.suffix.lower() in (*VIDEOS, *IMAGES) and not path.name.startswith(".") and path.is_file()


def _nearest(path: Path) -> Path | None:
    """What lies beside ``path`` and is called nearly so; None if nothing is."""
    try:
        near = difflib.get_close_matches(path.name, os.listdir(path.parent), n=1, cutoff=0.6)
    except OSError:
        return None
    return path.parent / near[0] if near else None
