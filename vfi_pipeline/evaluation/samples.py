"""Films and pictures to evaluate on: folders of films, and the layouts of the standard sets."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np

from vfi_pipeline.data.pairs import read_lines
from vfi_pipeline.errors import BAD_INPUT, USAGE, UserError
from vfi_pipeline.evaluation.conventions import (
    MIDDLEBURY,
    SEPTUPLETS,
    SNU_FILM,
    UCF101,
    VIMEO90K,
    X4K_2K,
    X4K_4K,
    XIPH,
    Convention,
)
from vfi_pipeline.evaluation.rgb import rgb_frame, to_rgb, unrounded_rgb
from vfi_pipeline.media.frames import Frame, pixel_format
from vfi_pipeline.media.images import SUFFIXES
from vfi_pipeline.media.probe import probe
from vfi_pipeline.media.reader import read_numbered
from vfi_pipeline.media.stills import read_still

FILMS = frozenset(
    ".mp4 .m4v .mov .mkv .webm .avi .ts .m2ts .mts .mpg .mpeg .wmv .flv .3gp .ogv .mxf .nut .y4m .gif .apng".split()
)


@dataclass(frozen=True)
class Sample:
    """A film, or some pictures of a data set, with all its true frames.

    Attributes:
        name, group: for the tables, whose means are over a group.
        load: reads the frames; UserError if that fails.
        rates: the factors of its set; None: any that its length allows.
        convention: of its standard set; None for others.
        scene: common name of several samples of a group, for a table; "": the sample's own name.
    """

    name: str
    group: str
    load: Callable[[], list[Frame]]
    rates: tuple[int, ...] | None = None
    convention: Convention | None = None
    scene: str = ""


def samples(path: Path, layout: str = "films", frames: int | None = 33) -> list[Sample]:
    """The samples at ``path``, in the named layout.

    Args:
        path: a film, a folder of films or of folders of pictures; or the root of a data set.
        layout: one of ``LAYOUTS``.
        frames: number of frames of each film, from its start; None: all.

    Raises:
        UserError: if the path or the layout does not exist, or it holds nothing of that layout.
    """
    if layout not in LAYOUTS:
        raise UserError(f"No layout is called {layout!r}.", f"layout= one of {', '.join(LAYOUTS)}.", USAGE)
    if not path.exists():
        raise UserError(f"{path} does not exist.", "check the name after input=.", BAD_INPUT)
    loaded = list(films(path, frames) if layout == "films" else LAYOUTS[layout](path))
    if not loaded:
        raise UserError(f"{path} holds nothing in the layout {layout!r}.", EXPECTED[layout], BAD_INPUT)
    return loaded


def named(text: str) -> list[Path]:
    """The paths that ``input=`` names: itself if that exists, else the members of ``[a.mp4,b.mp4]``.

    A comma within a name parts it only where the longer name does not exist.
    """
    path = Path(text).expanduser()
    if path.exists():
        return [path]
    if len(text) > 1 and text[0] == text[-1] and text[0] in "'\"":
        return named(text[1:-1])  # quoted for Hydra, as was needed once
    if not (text.startswith("[") and text.endswith("]")):
        return [path]
    parts, paths = text[1:-1].split(","), []
    while parts:
        for count in range(len(parts), 0, -1):
            member = Path(",".join(parts[:count]).strip().strip("'\"")).expanduser()
            if member.exists() or count == 1:
                paths.append(member)
                del parts[:count]
                break
    return paths


def distinct(samples: Iterable[Sample]) -> list[Sample]:
    """The samples with a name each: of two films ``a`` the second is called ``a (2)``."""
    counts: Counter[tuple[str, str]] = Counter()
    renamed = []
    for sample in samples:
        counts[sample.group, sample.name] += 1
        count = counts[sample.group, sample.name]
        renamed.append(sample if count == 1 else replace(sample, name=f"{sample.name} ({count})"))
    return renamed


def films(path: Path, frames: int | None) -> Iterator[Sample]:
    """A film, the films of a folder, or its sub-folders of pictures."""
    if path.is_file():
        yield Sample(path.stem, "films", partial(read_film, path, frames))
        return
    inside = sorted(path.iterdir(), key=lambda child: child.name)
    if any(child.suffix.lower() in SUFFIXES for child in inside):
        yield Sample(path.name, "films", partial(read_film, path, frames))
        return
    for child in inside:
        pictures = child.is_dir() and any(each.suffix.lower() in SUFFIXES for each in child.iterdir())
        if pictures or (child.is_file() and child.suffix.lower() in FILMS):
            yield Sample(child.stem, "films", partial(read_film, child, frames))


def read_film(path: Path, frames: int | None) -> list[Frame]:
    """The first ``frames`` frames of a film or a folder of pictures."""
    info = probe(path)
    with read_numbered(info, 0, frames) as numbered:
        return [frame for _, frame in numbered]


# ------------------------------------------------------------------------------------------------------- data sets


def vimeo90k(root: Path) -> Iterator[Sample]:
    """Xue et al. 2019: ``tri_testlist.txt`` and ``sequences/00001/0389/im1.png .. im3.png``; also the septuplets."""
    listing = next((root / name for name in ("tri_testlist.txt", "sep_testlist.txt") if (root / name).is_file()), None)
    if listing is None:
        return
    # The test set alone, as it is also distributed (vimeo_interp_test), calls the folder of all three frames target.
    sequences = root / ("target" if (root / "target").is_dir() else "sequences")
    triplets = listing.name.startswith("tri")
    names = ("im1.png", "im2.png", "im3.png") if triplets else ("im3.png", "im4.png", "im5.png")
    for line in " ".join(read_lines(listing)).split():
        paths = [sequences / line / name for name in names]
        group = "vimeo90k" if triplets else "vimeo90k septuplets"
        yield _sample(line, group, paths, VIMEO90K if triplets else SEPTUPLETS)


def snu_film(root: Path) -> Iterator[Sample]:
    """Choi et al. 2020: ``test-easy.txt`` .. ``test-extreme.txt``, each line the three pictures' paths."""
    listings = [p for base in (root, root / "eval_modes") for p in sorted(base.glob("test-*.txt"))]
    order = ("easy", "medium", "hard", "extreme")
    listings = [p for p in listings if p.stem[5:] in order]
    for listing in sorted(listings, key=lambda p: order.index(p.stem[5:])):
        for line in read_lines(listing):
            paths = [_under(root, text) for text in line.split()]
            if len(paths) == 3:
                name = "/".join(paths[1].with_suffix("").parts[-2:])
                yield _sample(name, f"snu-film {listing.stem[5:]}", paths, SNU_FILM)


def ucf101(root: Path) -> Iterator[Sample]:
    """Liu et al. 2017, the 379 triplets of DVF: ``1/frame_00.png``, ``1/frame_01_gt.png``, ``1/frame_02.png``."""
    base = root / "ucf101_interp_ours" if (root / "ucf101_interp_ours").is_dir() else root
    for folder in sorted((p for p in base.iterdir() if p.is_dir()), key=_natural):
        paths = [folder / name for name in ("frame_00.png", "frame_01_gt.png", "frame_02.png")]
        if paths[1].is_file():
            yield _sample(folder.name, "ucf101", paths, UCF101)


def middlebury(root: Path) -> Iterator[Sample]:
    """Baker et al. 2011, OTHER: ``other-data/Urban2/frame10.png``, ``frame11.png``, and ``other-gt-interp/``."""
    truths = next((p for p in sorted(root.glob("other*gt-interp")) if p.is_dir()), None)
    pictures = next((p for p in (root / "other-data", root / "other-color-twoframes/other-data") if p.is_dir()), None)
    if truths is None or pictures is None:
        truths = pictures = root  # all three in one folder, as SoftSplat has them
    for truth in sorted(truths.glob("*/frame10i11.png")):
        folder = pictures / truth.parent.name
        paths = [folder / "frame10.png", truth, folder / "frame11.png"]
        yield _sample(truth.parent.name, "middlebury", paths, MIDDLEBURY)


XIPH_SEQUENCES = (
    "BoxingPractice", "Crosswalk", "DrivingPOV", "FoodMarket", "FoodMarket2", "RitualDance", "SquareAndTimelapse",
    "Tango",
)  # fmt: skip


def xiph(root: Path) -> Iterator[Sample]:
    """Niklaus and Liu 2020: ``BoxingPractice-001.png`` .. ``Tango-100.png``, in ``root`` or in ``netflix/``.

    Frames 2, 4 .. 98 are made from their neighbours, at half the size (2K) and from the middle of the picture (4K).
    """
    base = root / "netflix" if (root / "netflix").is_dir() else root
    for size, prepare in (("2K", _halved), ("4K", _middle)):
        for sequence in XIPH_SEQUENCES:
            existing = {path.name for path in base.glob(f"{sequence}-*.png")}
            for k in range(2, 99, 2):
                names = [f"{sequence}-{n:03d}.png" for n in (k - 1, k, k + 1)]
                if existing.intersection(names):
                    paths = [base / name for name in names]
                    yield _sample(f"{sequence}-{k:03d}", f"xiph {size}", paths, XIPH, 2, prepare, sequence)


def x4k(root: Path) -> Iterator[Sample]:
    """Sim et al. 2021, X-TEST: ``Type1/TEST01_003_f0433/0000.png`` .. ``0032.png``, in ``root`` or in ``test/``.

    Of each 33 frames the first and the last are given and every fourth between is made: seven times, 8x.
    """
    base = root / "test" if (root / "test").is_dir() else root
    scenes = sorted({path.parent for path in base.glob("*/*/*.png")}, key=lambda p: (_natural(p.parent), _natural(p)))
    for size, convention in (("4K", X4K_4K), ("2K", X4K_2K)):
        for scene in scenes:
            frames = sorted(scene.glob("*.png"), key=_natural)
            name = f"{scene.parent.name}/{scene.name}"
            for k in range(0, max(len(frames) - 32, 1), 32):
                part = name if k == 0 else f"{name} {k}"
                prepare = _halved_unrounded if size == "2K" else None
                yield _sample(part, f"x4k {size}", frames[k : k + 33 : 4], convention, 8, prepare, name)


LAYOUTS: dict[str, Callable[[Path], Iterator[Sample]]] = {
    "films": lambda path: films(path, None),
    "vimeo90k": vimeo90k,
    "snu-film": snu_film,
    "ucf101": ucf101,
    "middlebury": middlebury,
    "xiph": xiph,
    "x4k": x4k,
}
EXPECTED = {
    "films": f"put films ({' '.join(sorted(FILMS))}) or folders of pictures in it.",
    "vimeo90k": "name the folder that holds tri_testlist.txt and sequences/.",
    "snu-film": "name the folder that holds test-easy.txt, test-medium.txt, test-hard.txt, test-extreme.txt.",
    "ucf101": "name the folder that holds 1/frame_00.png, 1/frame_01_gt.png, 1/frame_02.png and so on.",
    "middlebury": "name the folder that holds other-data/ and other-gt-interp/.",
    "xiph": "name the folder that holds BoxingPractice-001.png and so on (docs/evaluation.md says how they are made).",
    "x4k": "name the folder that holds Type1/TEST01_003_f0433/0000.png and so on, 33 pictures a scene.",
}


# -------------------------------------------------------------------------------------------------------- pictures


def read_picture(path: Path) -> Frame:
    """A picture file with all its bits, ``gray`` or ``gbrp`` of 8 to 16 bit, without alpha, as papers read it.

    UserError if it cannot be read.
    """
    frame = read_still(path)
    if not frame.format.has_alpha:
        return frame
    colours = [plane for plane, facts in zip(frame.planes, frame.format.planes) if facts.kind != "a"]
    form = pixel_format(frame.format.name.replace("gbrap", "gbrp").replace("ya", "gray"))
    return replace(frame, planes=tuple(colours), format=form)


def _sample(
    name: str,
    group: str,
    paths: list[Path],
    convention: Convention,
    rate: int = 2,
    prepare: Callable[[np.ndarray], np.ndarray] | None = None,
    scene: str = "",
) -> Sample:
    """Pictures of which every ``rate``-th is kept; ``prepare`` converts (H, W, 3) to the pictures to compare."""

    def load() -> list[Frame]:
        if len(paths) != rate + 1:
            raise UserError("it does not hold the pictures of the set.", EXPECTED["x4k"], BAD_INPUT)
        frames = [read_picture(path) for path in paths]
        sizes = {(frame.width, frame.height) for frame in frames}
        if len(sizes) > 1:
            raise UserError(f"its pictures differ in size: {sorted(sizes)}.", "copy the set again.", BAD_INPUT)
        deep = max(frame.format.depth for frame in frames) > 8
        pictures = [unrounded_rgb([frame])[0] if deep else to_rgb([frame])[0] for frame in frames]
        if prepare:
            pictures = [prepare(picture) for picture in pictures]
        return [rgb_frame(picture) for picture in pictures]

    return Sample(name, group, load, (rate,), convention, scene)


def _halved_unrounded(picture: np.ndarray) -> np.ndarray:
    """Means of 2 x 2 pixels, as OpenCV's area filter gives them for float: codes 0..255, float32, exact for bytes."""
    height, width = picture.shape[:2]
    if height % 2 or width % 2:
        raise UserError(f"its pictures are {width}x{height}: no half of that.", "use the set as published.", BAD_INPUT)
    return picture.reshape(height // 2, 2, width // 2, 2, -1).mean(axis=(1, 3), dtype=np.float32)


def _halved(picture: np.ndarray) -> np.ndarray:
    """The same for bytes: halves rounded up."""
    return np.floor(_halved_unrounded(picture) + np.float32(0.5)).astype(np.uint8)


def _middle(picture: np.ndarray) -> np.ndarray:
    """The middle of the picture, half as wide and half as high."""
    height, width = picture.shape[:2]
    return picture[height // 4 : height - height // 4, width // 4 : width - width // 4]


def _under(root: Path, text: str) -> Path:
    """A path from a list made on another machine: its longest tail that exists under ``root``."""
    parts = Path(text).parts
    for start in range(len(parts)):
        if (root / Path(*parts[start:])).is_file():
            return root / Path(*parts[start:])
    return root / Path(*parts[-2:])


def _natural(path: Path) -> list[tuple[int, str]]:
    return [(int(part), "") if part.isdigit() else (0, part) for part in re.split(r"(\d+)", path.name)]
