"""The folder ``conf``, and what it composes. With the commands, the one door to Hydra and OmegaConf.

Hydra is imported by the functions: help, completion and mistakes in an option need none of it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

_PACKAGE = Path(__file__).resolve().parent


def conf_folder() -> Path:
    """The configuration: in a checkout the folder beside the package; of an installed wheel the copy inside it."""
    inside = _PACKAGE / "conf"
    return inside if inside.is_dir() else _PACKAGE.parent / "conf"


def is_checkout() -> bool:
    """Whether the program runs from its repository, where ``python interpolate.py`` and ``make`` are at hand."""
    return conf_folder() == _PACKAGE.parent / "conf"


def model_names() -> tuple[str, ...]:
    """The names that ``model=`` knows."""
    return tuple(sorted(path.stem for path in (conf_folder() / "model").glob("*.yaml")))


@dataclass(frozen=True)
class Composed:
    """A motion model as ``conf/interpolate.yaml`` and ``conf/model`` have it.

    Attributes:
        model: its name.
        settings: its values, ``_target_`` among them, for ``build``.
        defaults: options that this installation sets in ``conf/interpolate.yaml``.
    """

    model: str
    settings: dict[str, Any]
    defaults: dict[str, object] = field(default_factory=dict)


def compose_model(name: str | None = None) -> Composed:
    """The model ``name``; None: the one that ``conf/interpolate.yaml`` names."""
    from hydra import compose, initialize_config_dir
    from omegaconf import OmegaConf

    with initialize_config_dir(str(conf_folder()), version_base=None):
        cfg = compose("interpolate", [f"model={name}"] if name else [], return_hydra_config=True)
    settings: Any = OmegaConf.to_container(cfg.model, resolve=True)
    own = {str(key): value for key, value in cfg.items() if key not in ("model", "hydra")}
    return Composed(name or cfg.hydra.runtime.choices.model, settings, own)


def build(settings: Mapping[str, Any]) -> Any:
    """What ``settings`` describe: their ``_target_``, called with the rest."""
    from hydra.utils import instantiate

    return instantiate(settings)
