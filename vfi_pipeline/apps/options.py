"""The options of ``interpolate.py`` that turn pictures into an animation: what belongs together is checked here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from vfi_pipeline.errors import BAD_INPUT, UserError
from vfi_pipeline.jobs.faces import NAMES as FACES
from vfi_pipeline.jobs.option_fields import Option, given_texts, read_fields
from vfi_pipeline.jobs.option_table import TABLE
from vfi_pipeline.jobs.option_table import PictureOptions as PictureOptions
from vfi_pipeline.jobs.sources import is_film
from vfi_pipeline.jobs.style import NAMES as STYLE
from vfi_pipeline.jobs.values import number as number

EDITS = {"dfi": "0.4", "exemplars": "1"}
"""Models that edit one picture, and how strongly unless told."""

PAIR_MODELS = ("fit", "morph", "deepsim", *EDITS)
"""Models that solve pictures and not films."""

_OF_FILMS = ("fps", "multi", "slowmo", "at", "attribute")

DEFAULT_NAME = "{stem}_animated.{ext}"


def asks_for_pictures(given: Mapping[str, str], model: str | None, table: Sequence[Option] = TABLE) -> bool:
    """Whether the options typed (not the defaults) are about pictures rather than about a film."""
    typed = given_texts(given)
    return model in PAIR_MODELS or any(row.concerns == "pictures" and row.name in typed for row in table)


def implied_model(given: Mapping[str, str], table: Sequence[Option] = TABLE) -> str | None:
    """The model that the options typed call for where none is named; None: the default of films."""
    typed = given_texts(given)
    pictures = asks_for_pictures(given, None, table)
    of_film = not pictures and any(name in typed for name in _OF_FILMS)
    if "exemplars" in typed and not of_film:
        return "exemplars"
    if ("sources" in typed or "targets" in typed) and not of_film:
        return "dfi"
    return "fit" if pictures else None  # pictures may be far apart, and one pair is worth the time


def edit_texts(texts: Mapping[str, object], model: str) -> dict[str, object]:
    """The options of a picture that is edited or drawn: without a duration it becomes one picture."""
    typed = given_texts(texts)
    if model == "deepsim" and not any(name in typed for name in ("duration", "durations", "frames", "t")):
        return {**texts, "t": "0"}  # the first primitive, drawn
    if model not in EDITS:
        return dict(texts)
    strength = typed.get("strength", EDITS[model])
    if any(name in typed for name in ("duration", "durations", "frames")):
        return {**texts, "strength": strength}
    if "t" in typed or strength.strip().startswith("["):
        return dict(texts)
    return {**texts, "t": strength, "strength": None}


def model_settings(given: Mapping[str, object], table: Sequence[Option] = TABLE) -> dict[str, str]:
    """``mult=`` and other settings of a model that are typed without it, as ``model.mult``."""
    typed = given_texts(given)
    return {f"model.{row.name}": typed[row.name] for row in table if row.of_model and row.name in typed}


def as_film_options(
    texts: Mapping[str, object],
    typed: Mapping[str, str],
    table: Sequence[Option] = TABLE,
    inputs: Sequence[str] = (),
) -> dict[str, object]:
    """The same texts for ``jobs.options``, where every film has a rate and a name: 30 fps unless told.

    Args:
        inputs: as typed. Where they are films, the options for pictures are those to leave out.

    Raises:
        UserError: if an option was typed that has no meaning for pictures, or an input is a film.
    """
    stated = given_texts(typed)
    out_of_place = [row.name for row in table if row.concerns == "films" and row.name in stated]
    asking = [row.name for row in table if row.concerns == "pictures" and not row.of_model and row.name in typed]
    film = next((text for text in inputs if is_film(text)), None)
    if film is not None:
        raise _of_a_film(film, asking, stated)
    if out_of_place:
        reason = f"{asking[0]}= animates pictures" if asking else "this model animates pictures"
        remedy = f"leave out {out_of_place[0]}=" + ("." if asking else ", or take model=flow for a film.")
        raise UserError(f"{out_of_place[0]}= is for films, and {reason}.", remedy)
    filled: dict[str, object] = {"fps": "30", "name": DEFAULT_NAME}
    given = given_texts(texts)
    # Of pictures these mean something else, or, as defaults of an installation, nothing: see PictureOptions.
    shared: dict[str, object] = {name: None for name in ("size", "fit_size", *STYLE, *FACES) if name in texts}
    return {**texts, **shared, **{key: value for key, value in filled.items() if key not in given}}


def _of_a_film(film: str, asking: Sequence[str], stated: Mapping[str, str]) -> UserError:
    """The error for options for pictures, ``asking``, or a model for them, where the input is a film."""
    instead = {
        "t": "at=0 (seconds) for one frame",
        "duration": "multi=2 end=10 for its first seconds",
    }
    timed = any(name in stated for name in ("fps", "multi", "slowmo", "at"))
    remedies = [] if timed else [instead.get(asking[0], "fps=60 or slowmo=4") if asking else "fps=60 or slowmo=4"]
    remedies = ["model=flow", *remedies] if stated.get("model") in PAIR_MODELS else remedies
    if not asking:
        return UserError(f"This model animates pictures, and {film} is a film.", f"{' '.join(remedies)}.", BAD_INPUT)
    remedy = f"leave out {'= and '.join(asking)}=" + (f", and say {' '.join(remedies)}" if remedies else "")
    return UserError(f"{asking[0]}= animates pictures, and {film} is a film.", f"{remedy}.", BAD_INPUT)


def read_picture_options(given: Mapping[str, object]) -> PictureOptions:
    """Check and convert what was typed; ``None``, ``""`` and ``null`` mean: not given.

    Raises:
        UserError: naming the option, what is wrong and what would fit.
    """
    texts = given_texts(given)
    timing = [name for name in ("duration", "durations", "frames", "t") if name in texts]
    if len(timing) > 1:
        raise UserError(
            f"{timing[0]}= and {timing[1]}= were both given; one decides the timing.", f"{timing[0]}= alone."
        )
    if not timing:
        raise UserError(
            "How long? Pictures have no duration of their own.", "duration=2 (seconds), or t=0.5 for a frame."
        )
    if "t" in texts:
        for name in ("hold_first", "hold_last", "strength"):
            if name in texts:
                raise UserError(f"{name}= has no meaning beside t=, which names each frame.", f"leave out {name}=.")
    return read_fields(PictureOptions, texts)
