"""What is evaluated: folders of films, and the layouts of the usual data sets (triplets of pictures)."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import partial
from pathlib import Path

import numpy as np

from vfi_pipeline.bench.rivals import INTERPOLATED, to_rgb
from vfi_pipeline.data.pairs import read_lines
from vfi_pipeline.errors import BAD_INPUT, USAGE, UserError
from vfi_pipeline.media import images
from vfi_pipeline.media.frames import Colour, Frame, pixel_format
from vfi_pipeline.media.images import SUFFIXES
from vfi_pipeline.media.probe import probe
from vfi_pipeline.media.reader import read_numbered
from vfi_pipeline.media.stills import read_rgb8

FILMS = frozenset(
    ".mp4 .m4v .mov .mkv .webm .avi .ts .m2ts .mts .mpg .mpeg .wmv .flv .3gp .ogv .mxf .nut .y4m .gif .apng".split()
)


@dataclass(frozen=True)
class Sample:
    """A film, or a triplet, with all its true frames.

    Attributes:
        name, group: for the tables; means are taken per group.
        load: reads the frames; UserError if it cannot.
        rates: the only factors that it is for; None: any that its length allows.
    """

    name: str
    group: str
    load: Callable[[], list[Frame]]
    rates: tuple[int, ...] | None = None


def samples(path: Path, layout: str = "films", frames: int | None = 33) -> list[Sample]:
    """What ``path`` holds, in the named layout.

    Args:
        path: a film, a folder of films or of folders of pictures; or the root of a data set.
        layout: one of ``LAYOUTS``.
        frames: how many frames of each film, from its beginning; None: all.

    Raises:
        UserError: if the path or the layout does not exist, or it holds nothing of that layout.
    """
    if layout not in LAYOUTS:
        raise UserError(f"No layout is called {layout!r}.", f"layout= one of {', '.join(LAYOUTS)}.", USAGE)
    if not path.exists():
        raise UserError(f"{path} does not exist.", "check the name after input=.", BAD_INPUT)
    found = list(films(path, frames) if layout == "films" else LAYOUTS[layout](path))
    if not found:
        raise UserError(f"{path} holds nothing in the layout {layout!r}.", EXPECTED[layout], BAD_INPUT)
    return found


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
    """The first ``frames`` frames of a film, in its own planes, or of a folder of pictures, by ``media.stills``."""
    if path.is_dir():
        read = [replace(read_picture(file), time=Fraction(k, 25)) for k, file in enumerate(images.find(path)[:frames])]
        sizes = sorted({f"{frame.width}x{frame.height}" for frame in read})
        if len(sizes) > 1:
            raise UserError(
                f"The pictures of {path} differ in size: {', '.join(sizes)}.", "make them alike.", BAD_INPUT
            )
        return read
    info = probe(path)
    with read_numbered(info, 0, frames) as numbered:
        return [frame for _, frame in numbered]


# ------------------------------------------------------------------------------------------------------- data sets


def vimeo90k(root: Path) -> Iterator[Sample]:
    """Xue et al. 2019: ``tri_testlist.txt`` and ``sequences/00001/0389/im1.png .. im3.png``."""
    listing = next((root / name for name in ("tri_testlist.txt", "sep_testlist.txt") if (root / name).is_file()), None)
    if listing is None:
        return
    sequences = root / "sequences"
    last = 3 if listing.name.startswith("tri") else 7
    for line in " ".join(read_lines(listing)).split():
        folder = sequences / line
        middle = (last + 1) // 2
        chosen = [folder / f"im{k}.png" for k in ((1, 2, 3) if last == 3 else (middle - 1, middle, middle + 1))]
        yield _triplet(line, "vimeo90k", chosen)


def snu_film(root: Path) -> Iterator[Sample]:
    """Choi et al. 2020: ``test-easy.txt`` .. ``test-extreme.txt``, each line the three pictures' paths."""
    listings = [p for base in (root, root / "eval_modes") for p in sorted(base.glob("test-*.txt"))]
    order = ("easy", "medium", "hard", "extreme")
    for listing in sorted(listings, key=lambda p: order.index(p.stem[5:]) if p.stem[5:] in order else len(order)):
        for line in read_lines(listing):
            paths = [_under(root, text) for text in line.split()]
            if len(paths) == 3:
                yield _triplet("/".join(paths[1].with_suffix("").parts[-2:]), f"snu-film {listing.stem[5:]}", paths)


def ucf101(root: Path) -> Iterator[Sample]:
    """Liu et al. 2017 as DAIN distributes it: ``1/frame_00.png``, ``1/frame_01_gt.png``, ``1/frame_02.png``."""
    base = root / "ucf101_interp_ours" if (root / "ucf101_interp_ours").is_dir() else root
    for folder in sorted((p for p in base.iterdir() if p.is_dir()), key=_natural):
        paths = [folder / name for name in ("frame_00.png", "frame_01_gt.png", "frame_02.png")]
        if paths[1].is_file():
            yield _triplet(folder.name, "ucf101", paths)


def middlebury(root: Path) -> Iterator[Sample]:
    """Baker et al. 2011: ``other-data/Urban2/frame10.png``, ``frame11.png``, and ``other-gt-interp/``."""
    truths = next((p for p in sorted(root.glob("other*gt-interp")) if p.is_dir()), None)
    pictures = next((p for p in (root / "other-data", root / "other-color-twoframes/other-data") if p.is_dir()), None)
    if truths is None or pictures is None:
        return
    for truth in sorted(truths.glob("*/frame10i11.png")):
        folder = pictures / truth.parent.name
        yield _triplet(truth.parent.name, "middlebury", [folder / "frame10.png", truth, folder / "frame11.png"])


LAYOUTS: dict[str, Callable[[Path], Iterator[Sample]]] = {
    "films": lambda path: films(path, None),
    "vimeo90k": vimeo90k,
    "snu-film": snu_film,
    "ucf101": ucf101,
    "middlebury": middlebury,
}
EXPECTED = {
    "films": f"put films ({' '.join(sorted(FILMS))}) or folders of pictures in it.",
    "vimeo90k": "name the folder that holds tri_testlist.txt and sequences/.",
    "snu-film": "name the folder that holds test-easy.txt, test-medium.txt, test-hard.txt, test-extreme.txt.",
    "ucf101": "name the folder that holds 1/frame_00.png, 1/frame_01_gt.png, 1/frame_02.png and so on.",
    "middlebury": "name the folder that holds other-data/ and other-gt-interp/.",
}


def _triplet(name: str, group: str, paths: list[Path]) -> Sample:
    return Sample(name, group, lambda: [read_picture(path) for path in paths], (2,))


def read_picture(path: Path) -> Frame:
    """A picture file as a frame of the format ``gbrp``, as training and animation read it; UserError if they cannot."""
    return _rgb_frame(read_rgb8(path))


def _rgb_frame(rgb: np.ndarray) -> Frame:
    planes = tuple(np.ascontiguousarray(rgb[..., k]) for k in (1, 2, 0))
    return Frame(planes, pixel_format("gbrp"), rgb.shape[1], rgb.shape[0], colour=Colour(matrix="gbr", range="pc"))


def as_pictures(sample: Sample) -> Sample:
    """The sample as papers compare: its frames are converted once, with interpolated chroma, and every method is given
    these RGB pictures in place of the file's own planes, and compared with them."""

    def load() -> list[Frame]:
        frames = sample.load()
        converted = to_rgb(frames, INTERPOLATED)
        return [replace(_rgb_frame(rgb), time=frame.time) for rgb, frame in zip(converted, frames)]

    return replace(sample, load=load)


def _under(root: Path, text: str) -> Path:
    """A listed path, wherever the list was written: its longest tail that exists under ``root``."""
    parts = Path(text).parts
    for start in range(len(parts)):
        if (root / Path(*parts[start:])).is_file():
            return root / Path(*parts[start:])
    return root / Path(*parts[-2:])


def _natural(path: Path) -> list[tuple[int, str]]:
    return [(int(part), "") if part.isdigit() else (0, part) for part in re.split(r"(\d+)", path.name)]
