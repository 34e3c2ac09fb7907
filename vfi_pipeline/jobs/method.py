"""The chosen motion model, its options from the configuration and the command line, checked but not yet built."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from vfi_pipeline.errors import ENVIRONMENT, UserError
from vfi_pipeline.jobs.devices import no_device
from vfi_pipeline.jobs.fingerprint import content_hash
from vfi_pipeline.jobs.options import Options
from vfi_pipeline.jobs.values import unknown
from vfi_pipeline.models.shipped import locate, shipped

if TYPE_CHECKING:
    from vfi_pipeline.models.motion import MotionModel


MEMORY_LEVELS = (
    "everything",
    "short queues and one decoder",
    "short queues, and the motion estimated in pictures of half the size",
    "short queues, and the motion estimated in pictures of a quarter of the size",
)
"""What ``ModelChoice.memory_level`` stands for: how a job steps down when its memory runs out."""

LAST_MEMORY_LEVEL = len(MEMORY_LEVELS) - 1


@dataclass(frozen=True)
class ModelChoice:
    """The motion model of a job: how to build it, and all that changes its pictures, for the fingerprint.

    Attributes:
        name: as in ``model=``.
        make: (share) -> the model; loads torch and the weights, so it is called only when frames are to be made.
            ``share`` is of the size of the pictures in which the motion is looked for.
        settings: what changes its pictures, for the fingerprint.
        memory_level: a place in ``MEMORY_LEVELS``.
        weights: the file of a model that learned.
        configuration: what ``choose_model`` needs to make the same again, elsewhere.
    """

    name: str
    make: Callable[[float], MotionModel]
    settings: Mapping[str, str] = field(default_factory=dict)
    memory_level: int = 0
    weights: Path | None = None
    configuration: Mapping[str, Any] = field(default_factory=dict)

    def build(self) -> MotionModel:
        """The model, with as little memory as ``memory_level`` asks for."""
        return self.make(0.5 ** max(0, self.memory_level - 1))

    def with_less_memory(self) -> ModelChoice:
        """The same, with less memory."""
        return replace(self, memory_level=self.memory_level + 1)


def choose_model(
    name: str,
    settings: Mapping[str, Any],
    nested: Mapping[str, str],
    options: Options,
    instantiate: Callable[[dict[str, Any]], Any],
) -> ModelChoice:
    """The model ``name`` with the user's ``model.key=value`` settings.

    Args:
        settings: the model's configuration; ``device``, ``precision``, ``weights`` and ``guide_span``, where it has
            them, are filled in from the options (``scale`` multiplies the sizes in ``SPANS``).
        nested: ``model.key`` -> text.
        instantiate: builds the model from its settings.

    Raises:
        UserError: if a setting is unknown or of another kind, or the model does not know an option that was given.
    """
    plain = copy.deepcopy(dict(settings))
    for key, text in nested.items():
        _set(plain, key.split(".")[1:], text, key, name)
    configuration = copy.deepcopy(plain)
    if options.weights is not None:
        if "weights" not in plain:
            raise UserError(f"model={name} takes no weights.", "leave weights= out, or choose another model=.")
        plain["weights"] = options.weights
    weights = None
    if plain.get("weights"):
        weights, _ = locate(plain["weights"])
        plain["weights"] = plain["weights"] if plain["weights"] in shipped() else str(weights.absolute())
    if options.precision != "auto":
        if "precision" not in plain and options.precision != "fp32":
            raise UserError(f"model={name} computes in fp32 only.", "leave precision= out.")
        plain |= {"precision": options.precision} if "precision" in plain else {}
    _scale_spans(plain, options.scale)
    described = {key: str(value) for key, value in _flat(plain) if key != "weights"}
    if weights:
        described["weights"] = content_hash(weights)

    def make(share: float) -> Any:
        chosen = dict(plain)
        if "device" in chosen:
            chosen["device"] = resolve_device(options.device)
        _scale_spans(chosen, share)
        try:
            return instantiate(chosen)
        except Exception as error:  # Hydra wraps what the model's own code raises
            cause = error.__cause__ or error
            if isinstance(cause, UserError):
                raise cause from error
            if isinstance(cause, ValueError):
                raise UserError(f"model={name} refuses its settings: {cause}", "another value.") from error
            raise

    return ModelChoice(name, make, described, weights=weights, configuration=configuration)


BUILDERS = ("vfi_pipeline.models.", "vfi_pipeline.animation.")
"""Where the functions lie that a model's configuration may name."""


def instantiate(settings: Mapping[str, Any]) -> Any:
    """Calls the function that ``_target_`` names with the other settings: as Hydra does, for models of this program
    alone, so that a configuration out of a file can do nothing else.

    Raises:
        UserError: if it names anything else.
    """
    target = str(settings.get("_target_"))
    module, _, name = target.rpartition(".")
    if not module.startswith(BUILDERS) or name.startswith("_"):
        raise UserError(f"{target} is no model of this program.", "start the job anew: resume=false.", ENVIRONMENT)
    try:
        build = getattr(import_module(module), name)
    except (ImportError, AttributeError) as error:
        raise UserError(f"{target} is not there ({error}).", "one version of this program.", ENVIRONMENT) from error
    return build(**{key: value for key, value in settings.items() if key != "_target_"})


def device_kind(options: Options) -> str:
    """``cuda`` of ``cuda:1``, and of ``auto`` where there is one: what the frames depend on.

    Raises:
        UserError: if the device asked for is not there. What workers elsewhere have, they say themselves.
    """
    if options.devices is not None:
        return devices_of(options)[0].partition(":")[0]
    if options.executor != "local" and options.device != "auto":
        return options.device.partition(":")[0]
    return resolve_device(options.device).partition(":")[0]


def devices_of(options: Options) -> list[str]:
    """The devices of ``devices=``; of ``all`` those of the kind that ``device=auto`` takes.

    Raises:
        UserError: if one is not there.
    """
    asked = options.devices or ()
    if asked != ("all",):
        return [resolve_device(device, "devices") for device in asked]
    kind = resolve_device("auto")
    return [f"{kind}:{number}" for number in range(device_count(kind))] if kind in ("cuda", "xpu") else [kind]


def resolve_device(text: str, option: str = "device") -> str:
    """``auto`` as the first of ``cuda``, ``xpu``, ``mps`` that is there, else ``cpu``. ``option`` asked for it.

    Raises:
        UserError: if the device asked for is not there.
    """
    if text.partition(":")[0] not in ("auto", "cuda", "xpu", "mps") or (text == "auto" and no_device()):
        return "cpu" if text == "auto" else text
    import torch

    if text == "auto":
        return next((kind for kind in KINDS if device_count(kind)), "cpu")
    kind, _, number = text.partition(":")
    if kind not in KINDS:
        return text
    count = device_count(kind)
    if not count:
        raise UserError(
            f"{option}={text}, but torch {torch.__version__} sees no {kind.upper()} device here.", f"{option}=cpu.",
            ENVIRONMENT,
        )  # fmt: skip
    if number and int(number) >= count:
        raise UserError(f"There is no {text}, only {count} of them.", f"{option}={kind}:0.", ENVIRONMENT)
    return text


KINDS = ("cuda", "xpu", "mps")


def device_count(kind: str) -> int:
    """How many devices of a kind there are; Apple's is one."""
    import torch

    if kind == "mps":
        return int(torch.backends.mps.is_available())
    module = torch.cuda if kind == "cuda" else torch.xpu
    return module.device_count() if module.is_available() else 0


SPANS = ("guide_span", "network_span")
"""Settings that are sizes of the pictures in which the motion is estimated, px."""


def _scale_spans(settings: dict[str, Any], scale: float) -> None:
    for name in SPANS:
        if scale != 1 and settings.get(name):
            settings[name] = max(32, round(settings[name] * scale))


def _set(settings: dict[str, Any], path: list[str], text: str, key: str, name: str) -> None:
    *parents, last = path
    node: Any = settings
    for part in parents:
        node = node.get(part) if isinstance(node, dict) else None
    keys = [k for k in node if not str(k).startswith("_")] if isinstance(node, dict) else []
    if last not in keys:
        if not keys:
            raise UserError(f"model={name} has no setting {'.'.join(path)!r}.", f"leave out {key}=.")
        raise unknown(last, keys, kind=f"setting of model={name}")
    before = node[last]
    try:
        value = yaml.safe_load(text)
    except yaml.YAMLError:
        value = text
    if isinstance(before, float) and isinstance(value, int) and not isinstance(value, bool):
        value = float(value)
    if (
        isinstance(value, float)
        and not math.isfinite(value)
        or (before is not None and type(value) is not type(before))
    ):
        raise UserError(f"{key}={text} is of another kind than {before!r}.", f"{key}={before}.")
    node[last] = value


def _flat(settings: Mapping[str, Any], prefix: str = "") -> list[tuple[str, Any]]:
    pairs = []
    for key, value in settings.items():
        if isinstance(value, Mapping):
            pairs += _flat(value, f"{prefix}{key}.")
        elif not (prefix == "" and key == "device"):
            pairs.append((prefix + str(key), value))
    return pairs
