"""Three parts that share nothing: to train on, to choose by, to report. Pure.

What belongs together (pictures of one person, pairs with a picture in common) is one group, and a group is in one part.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Hashable, Iterable, Mapping, Sequence
from pathlib import PurePath
from typing import TypeVar

from vfi_pipeline.errors import BAD_INPUT, UserError

T = TypeVar("T")

PARTS = ("train", "val", "test")


def split_groups(groups: Iterable[str], val_share: float, test_share: float) -> dict[str, list[str]]:
    """The names of the groups of each part, chosen by their names alone, so that an order means nothing.

    With three groups or more no part is empty whose share is above 0; with two there is no test. A ``val_share`` of 0
    keeps nothing back.

    Raises:
        UserError: if there is one group only, and a part of it was to be kept back.
    """
    check_shares(val_share, test_share)
    ranked = sorted(set(groups), key=lambda name: (zlib.crc32(name.encode("utf-8", "surrogateescape")), name))
    if val_share <= 0 or not ranked:
        return {"train": ranked, "val": [], "test": []}
    if len(ranked) == 1:
        raise UserError(
            f"All data belong to one group ({ranked[0]}), and a group cannot be in two parts.",
            "more data, a data.group= that tells them apart, or data.val_share=0 to keep nothing back.",
            BAD_INPUT,
        )
    held = min(max(1, round(val_share * len(ranked))), len(ranked) - 1)
    tested = 0 if test_share <= 0 or len(ranked) < 3 else max(1, round(test_share * len(ranked)))
    tested = min(tested, len(ranked) - held - 1)
    return {"val": ranked[:held], "test": ranked[held : held + tested], "train": ranked[held + tested :]}


def split_sides(
    first: Sequence[str], last: Sequence[str], val_share: float, test_share: float
) -> dict[str, tuple[list[int], list[int]]]:
    """The same for two sets whose items are not paired: part -> places in ``first`` and in ``last``.

    Args:
        first, last: the group of each item. A group that is in both sets is in the same part on either side.
    """
    check_shares(val_share, test_share)
    common = set(first) & set(last)
    alone = [set(first) - common, set(last) - common]
    by_common = len(common) >= 3 or not all(alone)
    part_of: dict[str, str] = {} if by_common else dict.fromkeys(common, "train")
    for stratum in [common, *alone] if by_common else alone:
        # Where groups in both sets have filled the parts, those in one only follow the shares if they are many.
        few = by_common and stratum is not common and len(stratum) * val_share < 0.5
        shares = (0.0, 0.0) if few else (val_share, test_share)
        parts = split_groups(stratum, *shares) if stratum else {}
        part_of |= {name: part for part, names in parts.items() for name in names}
    places = {}
    for part in PARTS:
        own = [[k for k, name in enumerate(side) if part_of[name] == part] for side in (first, last)]
        places[part] = (own[0], own[1])
    return places


def check_shares(val_share: float, test_share: float) -> None:
    """UserError if the parts kept back are no shares, or leave nothing to train on."""
    if not (0 <= val_share < 1 and 0 <= test_share < 1 and val_share + test_share < 1):
        raise UserError(
            f"data.val_share={val_share:g} and data.test_share={test_share:g} leave nothing to train on.",
            "shares from 0 to 1 that add up to less than 1, such as 0.1 and 0.1.",
        )


def usual_rule(items: Sequence[Sequence[PurePath]]) -> str:
    """``folder`` if the files of each item lie in one sub-folder and there are several such, else ``name``."""
    folders = [{group_of(path, "folder") for path in item} for item in items]
    by_folder = all(len(own) == 1 and "" not in own for own in folders) and len(set().union(*folders)) > 1
    return "folder" if by_folder else "name"


def group_of(path: PurePath, rule: str) -> str:
    """The group that a file's name says, by ``rule``.

    Args:
        path: relative to its set's folder.
        rule: ``folder``: the first folder of the path, for files in sub-folders. ``name``: the path without its ending.
            Anything else is a regular expression, searched in the path with ``/``: its first group, or what it matches.

    Raises:
        UserError: if the expression is none, or does not match.
    """
    if rule == "folder":
        return path.parts[0] if len(path.parts) > 1 else ""
    if rule == "name":
        return path.with_suffix("").as_posix()
    try:
        match = re.search(rule, path.as_posix())
    except re.error as error:
        raise UserError(
            f"data.group={rule} is no regular expression ({error}).", r"data.group='^(\d+)_', data.group=folder."
        ) from error
    if match is None:
        raise UserError(
            f"data.group={rule} does not match {path.as_posix()}.",
            "an expression that matches every file, data.group=folder, or data.group=name.",
        )
    return match[1] if match.re.groups and match[1] is not None else match[0]


def joined(keys: Sequence[Iterable[Hashable]]) -> list[int]:
    """A number for each item; items that share a key, directly or through others, have the same one."""
    parent = list(range(len(keys)))

    def root(k: int) -> int:
        while parent[k] != k:
            parent[k] = parent[parent[k]]
            k = parent[k]
        return k

    owner: dict[Hashable, int] = {}
    for k, own in enumerate(keys):
        for key in own:
            first_with_key = owner.setdefault(key, k)
            a, b = root(first_with_key), root(k)
            parent[max(a, b)] = min(a, b)
    return [root(k) for k in range(len(keys))]


def time_part(count: int, part: str, share: float, gap: int) -> tuple[int, int]:
    """The frames ``begin ... end - 1`` of a film of ``count`` that belong to a part: time's order, gaps between.

    The last ``share`` is the test's, the one before it the validation's; ``gap`` frames (or a fiftieth of the film, if
    that is more) between two parts are in none, so that no two parts show the same moment.
    """
    gap, held = max(gap, round(count / 50)), round(share * count)
    test = count - held
    val = test - gap - held
    ends = {"test": (test, count), "val": (val, test - gap), "train": (0, val - gap)}
    begin, end = ends[part]
    return max(0, begin), max(0, end)


def counted(parts: Mapping[str, Sequence[T]]) -> str:
    """How many there are of each part, in words."""
    return ", ".join(f"{len(parts[part])} {part}" for part in PARTS)
