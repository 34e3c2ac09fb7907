"""Measures ``model=dfi`` and ``exemplars=`` on faces of people who are not in the sets, and draws the results.

    python -m benchmarks.faces neutral/ smiling/ --out outputs/faces
    python -m benchmarks.faces --drawn --out docs/figures/faces        the figures of docs/faces.md

A picture's name begins with its person, as in ``07_073.png``. Every ``--every``-th person who has pictures in both
folders is held out, up to ``--people`` of them; a neutral picture of each is edited by sets of all the others.

P(smile) is said by the referee of ``evaluation.smile``: oriented gradients of the mouth's half, never of the person
that is judged. Its accuracy on real pictures stands beside it.
"""

from __future__ import annotations

import argparse
import json
import logging
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from vfi_pipeline.data.drawn_faces import drawn_face
from vfi_pipeline.data.picture_sets import read_set, set_files
from vfi_pipeline.editing.alignment import placement
from vfi_pipeline.editing.dfi import Dfi, DfiSettings
from vfi_pipeline.editing.exemplars import ExemplarSettings, seam_energy, stylised
from vfi_pipeline.editing.markov import (
    belief_propagation,
    best_single,
    iterated_conditional_modes,
    total_energy,
)
from vfi_pipeline.editing.pyramid import gaussian
from vfi_pipeline.errors import BAD_INPUT, UserError, exit_code
from vfi_pipeline.evaluation.smile import Referee
from vfi_pipeline.nets.features import features

log = logging.getLogger(__name__)

STRENGTHS = (0.0, 0.1, 0.2, 0.3, 0.4, 0.5)
LEVEL = 1e-3
"""Largest fall of a probability that is put down to the referee's grain."""


@dataclass(frozen=True)
class Faces:
    """Pictures (N, 3, h, w) in [0, 1], whether each smiles, and whose each is."""

    pictures: Tensor
    smiles: list[bool]
    people: list[str]

    def of(self, people: Sequence[str], inside: bool = True) -> list[int]:
        """Numbers of the pictures of these people, or of all others."""
        return [k for k, person in enumerate(self.people) if (person in people) == inside]


def read_faces(neutral: str, smiling: str, size: int) -> Faces:
    files = [
        (path, smiles) for folder, smiles in ((neutral, False), (smiling, True)) for path in set_files(folder, "set")
    ]
    pictures = read_set([path for path, _ in files], (size, size), "set").float() / 255
    return Faces(pictures, [smiles for _, smiles in files], [path.stem.split("_")[0] for path, _ in files])


def drawn_faces(size: int, people: int = 80) -> Faces:
    shown = [(number, smile) for number in range(people) for smile in (0.0, 1.0)]
    pixels = torch.stack([torch.from_numpy(drawn_face(number, smile, size)) for number, smile in shown])
    return Faces(
        pixels.permute(0, 3, 1, 2).float() / 255,
        [smile > 0 for _, smile in shown],
        [f"{number:03d}" for number, _ in shown],
    )


def held_out(faces: Faces, people: int, every: int) -> list[str]:
    """Every so manieth of those who have pictures in both sets."""
    both = sorted(
        person for person in set(faces.people) if {faces.smiles[k] for k in faces.of([person])} == {True, False}
    )
    if len(both) < 4:
        raise UserError(
            "Fewer than four people have pictures in both folders.", "names that begin with the person.", BAD_INPUT
        )
    return both[::every][:people]


@dataclass
class DfiFacts:
    """What was measured of ``model=dfi``.

    Attributes:
        monotone: people whose probability rises from 0 to 0.25 and from there to 0.5.
        monotone_by_tenths: who never lose more than ``LEVEL`` from one of ``STRENGTHS`` to the next, and gain in all.
        probability: at each of ``STRENGTHS``; quarters: at 0, 0.25 and 0.5.
    """

    people: int
    monotone: int
    monotone_by_tenths: int
    quarters: dict[str, list[float]]
    referee_accuracy: float
    probability: dict[str, list[float]]
    seconds_a_face: float
    edited_of_all: list[float]


def dfi_of(faces: Faces, held: Sequence[str], settings: DfiSettings) -> Dfi:
    """The method with the sets of all who are not held out."""
    taught = faces.of(held, inside=False)
    sources, targets = (faces.pictures[[k for k in taught if faces.smiles[k] is smiles]] for smiles in (False, True))
    return Dfi(features("vgg"), sources, targets, settings)


def measure_dfi(faces: Faces, held: Sequence[str], out: Path, dfi: Dfi) -> DfiFacts:
    """Edits a neutral picture of everyone held out; writes ``dfi.jpg`` with a row for each."""
    shrunk = F.interpolate(faces.pictures, (64, 64), mode="area")
    referee = Referee(shrunk, faces.smiles, faces.people)
    rows, results, quarters, spent = [], {}, {}, 0.0
    for person in held:
        own = next(k for k in faces.of([person]) if not faces.smiles[k])
        begun = time.monotonic()
        animation = dfi.edit(faces.pictures[own : own + 1], [max(STRENGTHS)])
        frames = [animation.frame(t) for t in STRENGTHS]
        spent += time.monotonic() - begun
        small = F.interpolate(torch.cat([*frames, animation.frame(0.25)]), (64, 64), mode="area")
        chances = [round(float(p), 3) for p in referee.probability(small, [person] * len(small))]
        results[person], quarters[person] = chances[:-1], [chances[0], chances[-1], chances[-2]]
        rows.append(torch.cat(frames, dim=-1))
        log.info("%s: P(smile) %s", person, results[person])
        write(out / "dfi.jpg", torch.cat(rows, dim=-2))
    rises = [all(b > a - LEVEL for a, b in zip(each, each[1:])) and each[-1] > each[0] for each in results.values()]
    risen = sum(a < b < c for a, b, c in quarters.values())
    mean = [round(sum(each[k] for each in results.values()) / len(results), 3) for k in range(len(STRENGTHS))]
    return DfiFacts(
        len(held), risen, sum(rises), quarters, round(referee.accuracy, 3), results, round(spent / len(held), 1), mean
    )


def measure_alignment(faces: Faces, held: Sequence[str]) -> dict[str, object]:
    """How many real faces are taken for misaligned, as they are and shifted by 20 % of their width."""
    taught = faces.of(held, inside=False)
    mean = faces.pictures[taught].mean(dim=0, keepdim=True)
    own = faces.of(held)
    by = round(0.2 * faces.pictures.shape[-1])
    shifted = F.pad(faces.pictures, (by, 0, 0, 0), mode="replicate")[..., : faces.pictures.shape[-1]]
    alarms = [sum(not placement(which[k : k + 1], mean).aligned() for k in own) for which in (faces.pictures, shifted)]
    return {"faces": len(own), "alarms": alarms[0], "alarms_when_shifted": alarms[1], "shift": 0.2}


def shifted_figure(faces: Faces, held: Sequence[str], out: Path, dfi: Dfi) -> None:
    """``shifted.jpg``: the same face aligned and shifted up by 15 %, both at strength 0 and 0.4."""
    own = next(k for k in faces.of([held[0]]) if not faces.smiles[k])
    face = faces.pictures[own : own + 1]
    by = round(0.15 * face.shape[-1])
    moved = F.pad(face, (0, 0, by, 0), mode="replicate")[..., : face.shape[-2], :]
    rows = []
    for each in (face, moved):
        animation = dfi.edit(each, [0.4])
        rows.append(torch.cat((each, animation.frame(0.4)), dim=-1))
    write(out / "shifted.jpg", torch.cat(rows, dim=-1))


# ------------------------------------------------------------------------------------------------------- exemplars


def in_style(face: Tensor, gain: Tensor, light: Tensor) -> Tensor:
    """A synthetic style with a known local gain: detail times ``gain``, the light below it times ``light``; both
    (1, 1, H, W)."""
    base = gaussian(face, 0.06 * face.shape[-1])
    return (base * light + (face - base) * gain).clamp(0, 1)


def styles(height: int, width: int) -> list[tuple[str, Tensor, Tensor]]:
    """(name, gain, light) of four styles that differ from side to side."""
    x = torch.linspace(0, 1, width).view(1, 1, 1, width).expand(1, 1, height, width)
    y = torch.linspace(0, 1, height).view(1, 1, height, 1).expand(1, 1, height, width)
    return [
        ("light from the left", 1.2 + 0.8 * (1 - x), 0.6 + 0.7 * (1 - x)),
        ("light from the right", 1.2 + 0.8 * x, 0.6 + 0.7 * x),
        ("light from above", 1.6 * torch.ones_like(x), 0.7 + 0.6 * (1 - y)),
        ("contrast", 2.2 * torch.ones_like(x), 0.95 * torch.ones_like(x)),
    ]


@dataclass
class ExemplarFacts:
    """Means over the people held out.

    Attributes:
        belief_propagation, icm, best_single: energy of the labels.
        seam_hard, seam_filtered: mean squared step where two exemplars meet, without and with the guided filter.
        seam_ratio: mean of their quotients.
        edges_kept: gradient at the input's strongest edges, filtered beside unfiltered.
        gain_error: mean of ``|log2 gain - log2 true|`` where every exemplar has one style.
    """

    people: int
    belief_propagation: float
    icm: float
    best_single: float
    ordered: int
    seam_hard: float
    seam_filtered: float
    seam_ratio: float
    edges_kept: float
    gain_error: float


def measure_exemplars(faces: Faces, held: Sequence[str], out: Path, settings: ExemplarSettings) -> ExemplarFacts:
    """Everyone held out in the look of eight others, each in one of four styles; writes ``exemplars.jpg``."""
    others = [k for k in faces.of(held, inside=False) if not faces.smiles[k]][:8]
    exemplars = styles(*faces.pictures.shape[-2:])
    shown = torch.cat(
        [in_style(faces.pictures[k : k + 1], *exemplars[n % len(exemplars)][1:]) for n, k in enumerate(others)]
    )
    rows, energies, seams, kept, errors = [], [], [], [], []
    for person in held:
        own = next(k for k in faces.of([person]) if not faces.smiles[k])
        face = faces.pictures[own : own + 1]
        choice = stylised(face, shown, settings)
        field = choice.field
        parts = (field.data, field.across, field.down)
        energies.append(
            [
                total_energy(find(*parts), *parts)
                for find in (belief_propagation, iterated_conditional_modes, best_single)
            ]
        )
        hard = stylised(face, shown, replace(settings, radius=0.0)).result
        soft = choice.result
        labels = field.weights(choice.labels)[0].argmax(dim=0)
        seams.append((seam_energy(hard, face, labels), seam_energy(soft, face, labels)))
        kept.append(_edge_ratio(soft, hard, face))
        errors.append(_gain_error(face, exemplars[3][1], settings))
        single = stylised(face, shown[:1], settings).result
        rows.append(torch.cat([face, single, hard, choice.result], dim=-1).clamp(0, 1))
    write(out / "exemplars.jpg", torch.cat([torch.cat(list(shown[:4].split(1)), dim=-1), *rows], dim=-2))
    mean = [sum(column) / len(column) for column in zip(*energies)]
    true_seams = [(hard, soft) for hard, soft in seams if hard > 0]
    return ExemplarFacts(
        people=len(held),
        belief_propagation=round(mean[0], 4), icm=round(mean[1], 4), best_single=round(mean[2], 4),
        ordered=sum(a <= b + 1e-6 <= c + 2e-6 for a, b, c in energies),
        seam_hard=sum(hard for hard, _ in true_seams) / max(1, len(true_seams)),
        seam_filtered=sum(soft for _, soft in true_seams) / max(1, len(true_seams)),
        seam_ratio=round(sum(soft / hard for hard, soft in true_seams) / max(1, len(true_seams)), 3),
        edges_kept=round(sum(kept) / len(kept), 3),
        gain_error=round(sum(errors) / len(errors), 3),
    )  # fmt: skip


def _edge_ratio(result: Tensor, beside: Tensor, face: Tensor) -> float:
    """Mean gradient of ``made`` where the face's is among the strongest tenth, as a share of that of ``beside``."""

    def slope(picture: Tensor) -> Tensor:
        grey = picture.mean(dim=1, keepdim=True)
        return (torch.diff(grey, dim=-1)[..., 1:, :].square() + torch.diff(grey, dim=-2)[..., 1:].square()).sqrt()

    own = slope(face)
    edges = own >= own.flatten().quantile(0.9)
    return float(slope(result)[edges].mean() / slope(beside)[edges].mean())


def _gain_error(face: Tensor, gain: Tensor, settings: ExemplarSettings) -> float:
    """The face's own styled version as its exemplar: the detail should come back ``gain`` times as strong."""
    styled = in_style(face, gain, torch.ones_like(gain))
    result = stylised(face, styled, settings).result
    base = 0.06 * face.shape[-1]
    detail, target, own = ((p - gaussian(p, base)).square().mean().sqrt() for p in (result, styled, face))
    return abs(float((detail / own).log2() - (target / own).log2()))


def write(path: Path, picture: Tensor) -> None:
    """(1, 3, H, W) in [0, 1] as a picture."""
    codes = (picture[0].clamp(0, 1) * 255 + 0.5).byte().permute(1, 2, 0).numpy()
    image = Image.fromarray(codes)
    image.save(path, quality=92) if path.suffix in (".jpg", ".jpeg") else image.save(path)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", nargs="*", help="two folders: faces without and with a smile")
    parser.add_argument("--drawn", action="store_true", help="faces drawn by code in place of folders")
    parser.add_argument("--out", type=Path, default=Path("outputs/faces"))
    parser.add_argument("--people", type=int, default=7)
    parser.add_argument("--every", type=int, default=4)
    parser.add_argument("--size", type=int, default=96, help="px at which faces are edited")
    parser.add_argument("--neighbours", type=int, default=40)
    parser.add_argument("--parts", default="alignment,exemplars,dfi,shifted")
    options = parser.parse_args()
    if not options.drawn and len(options.folders) != 2:
        raise UserError("Two folders of faces are wanted.", "neutral/ smiling/, or --drawn.")
    faces = (
        drawn_faces(options.size) if options.drawn else read_faces(options.folders[0], options.folders[1], options.size)
    )
    held = held_out(faces, options.people, options.every)
    options.out.mkdir(parents=True, exist_ok=True)
    parts = options.parts.split(",")
    solves = {"dfi", "shifted"} & set(parts)
    dfi = dfi_of(faces, held, DfiSettings(neighbours=options.neighbours)) if solves else None
    record: dict[str, object] = {"size": options.size, "neighbours": options.neighbours, "held_out": held}
    if "alignment" in parts:
        record["alignment"] = measure_alignment(faces, held)
        log.info("alignment: %s", record["alignment"])
    if "exemplars" in parts:
        record["exemplars"] = asdict(measure_exemplars(faces, held, options.out, ExemplarSettings()))
        log.info("exemplars: %s", record["exemplars"])
    if dfi is not None and "dfi" in parts:
        record["dfi"] = asdict(measure_dfi(faces, held, options.out, dfi))
        log.info("dfi: %s", record["dfi"])
    if dfi is not None and "shifted" in parts:
        shifted_figure(faces, held, options.out, dfi)
    (options.out / "faces.json").write_text(json.dumps(record, indent=1) + "\n")


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    sys.exit(exit_code(main))
