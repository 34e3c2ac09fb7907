"""Going on exactly where a run stopped, also after kill -9: checkpoints, random states, and refusing to mix runs."""

from __future__ import annotations

import contextlib
import io
import os
import random
import shlex
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytorch_lightning as pl
import torch
import yaml
from pytorch_lightning import Callback
from pytorch_lightning.plugins import TorchCheckpointIO

from vfi_pipeline.errors import BAD_INPUT, ENVIRONMENT, UserError
from vfi_pipeline.training.loggers import logged_steps, run_id_of

# What may differ between the two halves of a run: where and how fast it runs, how long, and what it says meanwhile.
FREE = (
    "trainer", "logger", "callbacks", "run_dir", "ckpt_path", "steps", "name", "monitor", "mode", "project", "ddp",
    "test", "validate_every", "checkpoint_every", "toy", "referee",
    "data.workers", "data.cache", "data.memory_gb", "training.lpips",
    "minutes", "training.capture", "data.batches", "data.scenes",
)  # fmt: skip
# Where data lie: they may have moved, since their fingerprint says whether they are the same.
PLACES = (
    "data.root", "data.val_root", "data.pairs", "data.first", "data.last", "data.source", "data.target",
    "data.textures", "data.mnist",
)  # fmt: skip


class AtomicCheckpoints(TorchCheckpointIO):
    """Checkpoints are written beside their name and renamed: a killed run leaves a whole one. No pickled code."""

    def save_checkpoint(self, checkpoint: dict[str, Any], path: str | Path, storage_options: Any = None) -> None:
        path = Path(path)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise unwritable(path.parent, error) from error
        draft = path.with_name(f"{path.name}.{os.getpid()}.part")
        # To memory first: a disk that fills up inside torch.save is an error of its own kind, without a cause.
        content = io.BytesIO()
        torch.save(checkpoint, content)
        try:
            with open(draft, "wb") as file:
                file.write(content.getbuffer())
                file.flush()
                os.fsync(file.fileno())
            os.replace(draft, path)
        except OSError as error:
            kept = path.is_file()
            whole = "; the one before is whole" if kept else ""
            raise UserError(
                f"{path} could not be written ({error.strerror or error}){whole}.",
                f"Free some space, then {resume_command(path.parent.parent) if kept else 'the same command again'}.",
                ENVIRONMENT,
            ) from error
        finally:
            with contextlib.suppress(OSError):
                draft.unlink(missing_ok=True)

    def load_checkpoint(
        self, path: str | Path, map_location: Any = None, weights_only: bool | None = None
    ) -> dict[str, Any]:
        return read_checkpoint(path)


def read_checkpoint(path: str | Path) -> dict[str, Any]:
    """A training checkpoint, on the CPU. UserError if it is missing, damaged, or holds more than plain values."""
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError as error:
        raise UserError(
            f"{path} does not exist.", "Give ckpt_path=<run folder> or one of its checkpoints.", BAD_INPUT
        ) from error
    except Exception as error:  # what damaged bytes bring about in the unpickler has no common class
        first = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise UserError(
            f"{path} is no readable checkpoint, or holds code ({first[:160]}).",
            "Give a checkpoint that train.py wrote (<run folder>/checkpoints/last.ckpt).",
            BAD_INPUT,
        ) from error


@dataclass(frozen=True)
class Resume:
    """A run to be continued: its checkpoint, folder, W&B id and what it was made with.

    ``words`` are those of the command line that chose its configuration, ``logged`` the W&B step that comes next.
    """

    path: Path
    run_dir: Path
    run_id: str | None
    config: Mapping[str, Any]
    data: str
    step: int
    words: Sequence[str] = ()
    logged: int = 0


def checkpoint_in(folder: Path) -> Path | None:
    """The checkpoint of a run's folder from which it goes on: the last one written. None if there is none."""
    checkpoints = [folder / "checkpoints" / "last.ckpt", folder / "last.ckpt", *folder.glob("hpc_ckpt_*.ckpt")]
    checkpoints = [path for path in checkpoints if path.is_file()]
    return max(checkpoints, key=lambda path: path.stat().st_mtime_ns, default=None)


def resume_command(run_dir: Path | str) -> str:
    """The command that goes on with a run, as it can be pasted into a shell."""
    return f"python train.py {shlex.quote(f'ckpt_path={run_dir}')}"


def find_resume(where: str | Path) -> Resume:
    """The run that ``where`` names: a checkpoint, or a run's folder (its ``checkpoints/last.ckpt``).

    Raises:
        UserError: if there is no checkpoint, or it was not written by ``train.py``.
    """
    path = Path(where).expanduser()
    if path.is_dir():
        path = checkpoint_in(path) or path / "checkpoints" / "last.ckpt"
    checkpoint = read_checkpoint(path)
    facts = checkpoint.get("run")
    if not isinstance(facts, dict):
        raise UserError(f"{path} was not written by train.py.", "Give <run folder>/checkpoints/last.ckpt.", BAD_INPUT)
    path = path.resolve()
    run_dir = path.parent.parent if path.parent.name == "checkpoints" else path.parent
    return Resume(
        path,
        run_dir,
        facts["run_id"],
        with_new_names(facts["config"]),
        facts["data"],
        int(checkpoint["global_step"]),
        facts.get("words") or _written_words(run_dir),
        facts.get("logged", 0),
    )


MOVED = {
    "vfi_pipeline.data.modules.Clips": "vfi_pipeline.data.modules.clips",
    "vfi_pipeline.data.modules.Films": "vfi_pipeline.data.modules.folder_of_videos",
    "vfi_pipeline.data.modules.Strangers": "vfi_pipeline.data.modules.UnpairedImages",
    "vfi_pipeline.data.single_image.SingleImage": "vfi_pipeline.data.modules.single_image.SingleImage",
    "vfi_pipeline.bench.digits.referee": "vfi_pipeline.evaluation.digits.referee",
    "vfi_pipeline.bench.smile.referee": "vfi_pipeline.evaluation.smile.referee",
    "vfi_pipeline.losses.TripletObjective": "vfi_pipeline.losses.triplet_objective",
}
"""Where the objects lie now that the configuration of runs up to 0.8 names."""


RENAMED = {
    "vfi_pipeline.losses.triplet_objective": {"extras": "auxiliary", "decibels": "negative_psnr"},
}
"""Options of objects, by where these lie now: names of runs up to 0.6 -> names of now."""


def with_new_names(config: Any) -> Any:
    """A run's configuration with every ``_target_`` of ``MOVED`` where it lies now, and options as in ``RENAMED``."""
    if isinstance(config, Mapping):
        target = config.get("_target_")
        target = MOVED.get(target, target) if isinstance(target, str) else target
        names = RENAMED.get(target, {}) if isinstance(target, str) else {}
        return {
            names.get(key, key): target if key == "_target_" else with_new_names(value) for key, value in config.items()
        }
    return [with_new_names(value) for value in config] if isinstance(config, list) else config


def _written_words(run_dir: Path) -> list[str]:
    """The words as Hydra kept them beside the run (versions up to 0.6.0)."""
    try:
        overrides = yaml.safe_load((run_dir / ".hydra" / "overrides.yaml").read_text(encoding="utf-8"))
    except (OSError, ValueError, yaml.YAMLError):
        return []
    return [str(word) for word in overrides or [] if not str(word).lstrip("+").startswith("ckpt_path=")]


def restored_settings(settings: Mapping[str, Any], resume: Resume, changed: Collection[str]) -> dict[str, Any]:
    """``settings`` with the run's own in place of all that was not ``changed`` on the command line.

    Args:
        settings: as composed now.
        changed: keys that were typed; each stands for its whole group. One that composes others (``experiment``,
            ``debug``) stands for everything.
    """
    groups = {key.partition(".")[0].partition("@")[0].partition("/")[0] for key in changed}
    if groups & {"experiment", "debug"}:
        return dict(settings)
    own = {key: value for key, value in resume.config.items() if key not in {*groups, "run_dir", "ckpt_path"}}
    return {**settings, **own}


def check_same(resume: Resume, config: Mapping[str, Any], data: str) -> None:
    """UserError that lists what changed, if the configuration (but for ``FREE``) or the data did."""
    changed = sorted(_differences(resume.config, config))
    if resume.data != data:
        changed.append(f"data: was {resume.data}, now {data} (fingerprint)")
    if changed:
        raise UserError(
            f"{resume.path} belongs to a run with other settings: " + "; ".join(changed[:8]) + ".",
            f"{resume_command(resume.run_dir)} with nothing else goes on as it began; "
            "without ckpt_path a new run starts.",
            BAD_INPUT,
        )


def unwritable(path: Path | str, error: OSError) -> UserError:
    """For a file or folder that the system refuses to write."""
    return UserError(
        f"{path} could not be written ({error.strerror or error}).",
        "Free some space, or hydra.run.dir=<a folder that is yours>.",
        ENVIRONMENT,
    )


def _differences(old: Any, new: Any, name: str = "") -> list[str]:
    if name in FREE or name in PLACES:
        return []
    if isinstance(old, Mapping) and isinstance(new, Mapping):
        differences = []
        for key in sorted({*old, *new}, key=str):
            differences += _differences(old.get(key), new.get(key), f"{name}.{key}" if name else str(key))
        return differences
    return [] if old == new else [f"{name}: was {old}, now {new}"]


@dataclass
class RunState(Callback):
    """Puts into every checkpoint what Lightning leaves out, and brings it back: random states of all processes, the
    W&B id, the configuration and the data's fingerprint."""

    config: dict[str, Any] = field(default_factory=dict)
    data: str = ""
    words: Sequence[str] = ()
    _states: list[Any] | None = None

    def on_save_checkpoint(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        states: list[Any] = [random_state()]
        if torch.distributed.is_available() and torch.distributed.is_initialized():
            states = [None] * trainer.world_size
            torch.distributed.all_gather_object(states, random_state())
        checkpoint["random"] = states
        run_id = run_id_of(trainer.loggers) if trainer.is_global_zero else None
        checkpoint["run"] = {
            "config": self.config,
            "data": self.data,
            "words": list(self.words),
            "run_id": run_id,
            "logged": logged_steps(trainer.loggers) if trainer.is_global_zero else 0,
        }

    def on_load_checkpoint(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        self._states = checkpoint.get("random")

    def on_train_batch_start(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, batch: Any, batch_idx: int
    ) -> None:
        # Only now: making the loaders and the sanity check draw numbers of their own.
        if self._states is not None:
            if len(self._states) == trainer.world_size:
                set_random_state(self._states[trainer.global_rank])
            self._states = None


def random_state() -> dict[str, Any]:
    """Python's, NumPy's and torch's random states, as plain values and tensors."""
    kind, keys, position, has_gauss, gauss = np.random.get_state()
    state: dict[str, Any] = {
        "python": list(_listed(random.getstate())),
        "numpy": [str(kind), [int(key) for key in keys], int(position), int(has_gauss), float(gauss)],
        "torch": torch.get_rng_state(),
    }
    if torch.cuda.is_available():
        state["cuda"] = torch.cuda.get_rng_state()
    return state


def set_random_state(state: Mapping[str, Any]) -> None:
    """What ``random_state`` gave."""
    version, internal, gauss = state["python"]
    random.setstate((version, tuple(internal), gauss))
    kind, keys, position, has_gauss, cached = state["numpy"]
    np.random.set_state((kind, np.array(keys, dtype=np.uint32), position, has_gauss, cached))
    torch.set_rng_state(state["torch"])
    if "cuda" in state and torch.cuda.is_available():
        torch.cuda.set_rng_state(state["cuda"])


def _listed(state: tuple[Any, ...]) -> list[Any]:
    return [list(part) if isinstance(part, tuple) else part for part in state]
