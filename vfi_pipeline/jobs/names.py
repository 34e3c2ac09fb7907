"""Where an output goes, and what must not be overwritten."""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Iterable, Mapping, Sequence
from fractions import Fraction
from pathlib import Path

from vfi_pipeline.errors import ENVIRONMENT, UserError
from vfi_pipeline.jobs.options import Options
from vfi_pipeline.jobs.sources import Film
from vfi_pipeline.jobs.values import moments_text, rate_text
from vfi_pipeline.media import writer
from vfi_pipeline.media.images import NUMBERED
from vfi_pipeline.media.images import SUFFIXES as IMAGES


def is_pattern(path: Path) -> bool:
    """Whether ``path`` stands for numbered images, as ``frames/%06d.png``; in a film's name a ``%`` is a letter."""
    return path.suffix.lower() in IMAGES and NUMBERED.search(path.name) is not None


def target_of(
    film: Film, options: Options, rate: Fraction, multi: Fraction, model: str, suffix: str, many: bool
) -> Path:
    """The output's path for ``film``, absolute.

    Args:
        rate: frames per second of the output. multi: output frames per source frame.
        suffix: the container if the user leaves it to us, as ``.mp4``.
        many: several films are worked on, so that ``output=`` can only be a folder.

    Raises:
        UserError: if ``output=`` cannot be a file's name, or its folder does not exist.
    """
    fields = {
        "stem": film.stem, "fps": rate_text(rate), "multi": f"{float(multi):.3f}".rstrip("0").rstrip("."),
        "at": moments_text(options.at) if options.at and len(options.at) == 1 else "%06d",
        "slowmo": f"{float(options.slowmo or 1):g}", "model": model, "ext": suffix.lstrip("."), **_source_fields(film),
    }  # fmt: skip
    named = _filled(options.name, fields)
    text = options.output
    if text is None:
        target = film.home / named
    else:
        path = Path(os.path.expanduser(text) if text.startswith("~") else text)
        if path.is_dir() or text.endswith(("/", os.sep)):
            target = path / named
        elif many:
            raise _one_file(text)
        elif not path.suffix or path.suffix == ".":
            raise UserError(
                f"output={text} has no ending that names its container.",
                f"output={shlex.quote(text + suffix)}, or output={shlex.quote(text)}/ for a folder.",
            )
        else:
            target = path
    target = Path(os.path.abspath(target))
    if len(os.fsencode(target.name)) > 255 - 16:
        raise UserError(
            f"The output's name would be too long: {target.name[:40]}... ({len(os.fsencode(target.name))} bytes).",
            "output= with a shorter name.",
        )
    return target


def refuse_one_file(options: Options) -> None:
    """UserError if ``output=`` is a file, where several inputs ask for a folder."""
    text = options.output
    if text is not None and not text.endswith(("/", os.sep)) and not Path(os.path.expanduser(text)).is_dir():
        raise _one_file(text)


def _one_file(text: str) -> UserError:
    folder = shlex.quote(str(Path(text).with_suffix("")))
    return UserError(f"output={text} is one file, but there are several inputs.", f"output={folder}/ (a folder).")


def _source_fields(film: Film) -> dict[str, str]:
    """The fields of a name that the source's own name gives."""
    folder = film.home.resolve().name or "root"
    return {"stem": film.stem, "folder": folder, "source_ext": film.files[0].suffix.lower().lstrip(".")}


def _filled(template: str, fields: Mapping[str, str]) -> str:
    return re.sub(r"\{(\w+)\}", lambda field: fields.get(field[1], field[0]), template)


def suspects(films: Sequence[Film], options: Options) -> list[list[Film]]:
    """The films whose outputs may get one name, as far as can be told without opening them: groups of two and more."""
    groups: dict[tuple[Path | None, str], list[Film]] = {}
    for film in films:
        home = film.home.resolve() if options.output is None else None
        groups.setdefault((home, _filled(options.name, _source_fields(film))), []).append(film)
    return [group for group in groups.values() if len(group) > 1]


def refuse_one_name(targets: Mapping[Film, Path], options: Options) -> None:
    """UserError if two films would become one file; names a template that tells all of them apart.

    Args:
        targets: what becomes of each film that may share a name with another.
    """
    owner: dict[Path, Film] = {}
    for film, target in targets.items():
        other = owner.setdefault(target, film)
        if other is not film:
            raise UserError(
                f"{_shown(other)} and {_shown(film)} would both become {target.name}.",
                _apart(list(targets), options),
            )


def _shown(film: Film) -> Path:
    return film.path if not film.images or len(film.images) > 1 else film.images[0]


def _apart(films: Sequence[Film], options: Options) -> str:
    """What to type so that no two of ``films`` get one name."""
    for fields in ("{source_ext}",), ("{folder}",), ("{folder}", "{source_ext}"):
        more = "_".join(("{stem}", *fields)) if "{stem}" in options.name else "_".join(("{stem}", *fields)) + "_"
        name = options.name.replace("{stem}", more) if "{stem}" in options.name else more + options.name
        if len({_filled(name, _source_fields(film)) for film in films}) == len(films):
            return f"name='{name}'"
    return "one folder at a time, each with an output= of its own."


def make_folder(target: Path, options: Options) -> None:
    """Makes the folder of ``target`` if the user said it is one (``output=new/``), else insists that it exists.

    Raises:
        UserError: if it does not exist or cannot be written.
    """
    folder = target.parent
    if not folder.is_dir():
        if not (options.output or "").endswith(("/", os.sep)) and not is_pattern(target):
            raise UserError(f"The folder {folder} does not exist.", f"mkdir -p {shlex.quote(str(folder))}", ENVIRONMENT)
        writer.make_folder(folder)
    if not os.access(folder, os.W_OK | os.X_OK):
        raise UserError(
            f"Nothing may be written in {folder}.", "output= in another folder, or its permissions.", ENVIRONMENT
        )


def existing(target: Path) -> list[Path]:
    """What ``target`` would overwrite: the file itself, or images that match the pattern."""
    if not is_pattern(target):
        return [target] if os.path.lexists(target) else []
    if not target.parent.is_dir():
        return []
    regex = r"\d+".join(re.escape(part) for part in NUMBERED.sub("\0", target.name).split("\0"))
    return [child for child in target.parent.iterdir() if re.fullmatch(regex, child.name)]


def refuse_input_as_output(target: Path, inputs: Iterable[Path]) -> None:
    """UserError if the output is one of the inputs, also by another name (a link)."""
    present = existing(target)
    for source in inputs:
        for path in present:
            try:
                same = os.path.samefile(path, source)
            except OSError:
                same = False
            if same:
                raise UserError(
                    f"The output {target.name} is the input {source.name} itself.",
                    "another output= (overwrite=true is no help).",
                )


def refuse_overwriting(target: Path) -> None:
    """UserError if ``target`` exists."""
    present = existing(target)
    if present:
        what = f"{target} exists" if present == [target] else f"{len(present)} images like {target} exist"
        raise UserError(f"{what} already.", "overwrite=true, or another output=.", ENVIRONMENT)


def free_name(path: Path) -> Path:
    """``path`` if nothing is there, else ``name-2.ext`` and so on."""
    candidate, number = path, 2
    while os.path.lexists(candidate):
        candidate = path.with_name(f"{path.stem}-{number}{path.suffix}")
        number += 1
    return candidate
