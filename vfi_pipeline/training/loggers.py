"""Where a run's numbers and pictures go: csv, TensorBoard, Weights & Biases, or nowhere. The one door to wandb."""

from __future__ import annotations

import base64
import json
import logging
import netrc
import os
import re
import shlex
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pytorch_lightning.loggers import CSVLogger, Logger, TensorBoardLogger, WandbLogger
from pytorch_lightning.utilities import rank_zero_only
from torch import Tensor

from vfi_pipeline.errors import ENVIRONMENT, UserError
from vfi_pipeline.viz.pictures import save_animation, save_picture

log = logging.getLogger(__name__)


def csv_logger(run_dir: str, run_id: str | None = None, logged: int = 0) -> Logger:
    """Numbers to ``run_dir/csv/metrics.csv``; a resumed run writes ``csv/resumed_1/...``, never over the old rows."""
    folder = Path(run_dir) / "csv"
    # CSVLogger empties a folder that has metrics already; each start of the same run gets its own.
    version = "" if not (folder / "metrics.csv").exists() else f"resumed_{len(list(folder.glob('resumed_*'))) + 1}"
    return CSVLogger(str(run_dir), name="csv", version=version, flush_logs_every_n_steps=20)


class Tensorboard(TensorBoardLogger):
    def finalize(self, status: str) -> None:
        """Closes the file, and waits for the next second: files are named by the second in which they are opened, and
        testing after training opens another one. In the same second it would replace what training has logged."""
        opened = self._experiment is not None
        super().finalize(status)
        if opened:
            time.sleep(1 - time.time() % 1)


def tensorboard_logger(run_dir: str, run_id: str | None = None, logged: int = 0) -> Logger:
    """To ``run_dir/tensorboard``."""
    try:
        return Tensorboard(str(run_dir), name="tensorboard", version="")
    except ModuleNotFoundError as error:
        raise UserError(
            "tensorboardX is not installed.", "pip install tensorboardX, or logger=csv", ENVIRONMENT
        ) from error


def _rank() -> int:
    """This process's place among those of its run. Lightning keeps it as an attribute of a function."""
    return int(getattr(rank_zero_only, "rank", 0))


class _Wandb(WandbLogger):
    """Counts W&B's own steps on where the run's earlier part ended; offline no server does that."""

    def __init__(self, *, logged: int = 0, offline_part: bool = False, **options: Any) -> None:
        super().__init__(**options)
        self._logged, self.offline_part = logged, offline_part

    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        if self._logged and _rank() == 0:
            self.experiment.log({}, step=self._logged)
            self._logged = 0
        super().log_metrics(metrics, step)


def wandb_logger(
    run_dir: str,
    run_id: str | None = None,
    project: str = "vfi-pipeline",
    name: str | None = None,
    entity: str | None = None,
    offline: bool | None = None,
    tags: Sequence[str] = (),
    logged: int = 0,
) -> Logger | None:
    """To Weights & Biases; None if ``WANDB_MODE=disabled``.

    If the server does not answer within seconds, or refuses the key, the run is logged offline, with a message.

    Args:
        run_id: of a run to be continued; None starts one.
        offline: None is offline where there is no key, or no server. ``WANDB_MODE`` comes before it.
        logged: W&B steps that the run's earlier part has.
    """
    mode = os.environ.get("WANDB_MODE", "").lower()
    if mode == "disabled" or os.environ.get("WANDB_DISABLED", "").lower() in ("true", "1", "yes"):
        log.info("W&B: switched off by the environment (WANDB_MODE=disabled).")
        return None
    options: dict[str, Any] = {
        "name": name, "save_dir": str(run_dir), "id": run_id, "project": project, "entity": entity,
        "tags": list(tags),
    }  # fmt: skip
    if _rank() != 0:
        return _Wandb(**options)  # only the first process logs
    why = _why_offline(mode, offline)
    if why is None:
        online = _Wandb(**options, settings=_settings())
        try:
            online.experiment  # noqa: B018  (the property opens the run)
            return online
        except Exception as error:  # what wandb raises over a key or a server has no common class
            why = f"{_server()} does not take the run ({str(error).strip().splitlines()[0][:160]})"
    log.info("W&B: offline, since %s.", why)
    # mode= and not Lightning's offline=, which would turn every later run of this process offline, too.
    return _Wandb(
        **options, mode="offline", resume=None, logged=logged if run_id else 0, offline_part=True,
        settings=_settings(silent=True),
    )  # fmt: skip


def _why_offline(mode: str, offline: bool | None) -> str | None:
    if mode in ("offline", "dryrun"):
        return f"WANDB_MODE={mode}"
    if offline:
        return "logger.offline=true"
    if mode != "online" and offline is None and not wandb_key():
        return "there is no key (wandb login)"
    return _refusal(_server(), wandb_key())


def _settings(silent: bool = False) -> Any:
    import wandb

    # Lost on the way, the network must not hold up the end of the run for ever: the data stay on the disk. Silent where
    # the command that wandb prints for a later upload would let the second part of a run replace the first.
    return wandb.Settings(init_timeout=15, finish_timeout=300, silent=silent)


def _server() -> str:
    return (os.environ.get("WANDB_BASE_URL") or "https://api.wandb.ai").rstrip("/")


def _refusal(server: str, key: str | None, seconds: float = 6.0) -> str | None:
    """Why no run can be logged at ``server``, found out within ``seconds``; None if it takes the key.

    wandb itself would try for a minute and a half. Proxies that the environment names are gone through.
    """
    query = json.dumps({"query": "query { viewer { id } }"}).encode()
    login = base64.b64encode(f"api:{key or ''}".encode()).decode()
    headers = {"Content-Type": "application/json", "Authorization": f"Basic {login}"}
    answer: list[str | None] = []

    def ask() -> None:
        try:
            request = urllib.request.Request(f"{server}/graphql", query, headers)
            with urllib.request.urlopen(request, timeout=seconds) as reply:
                viewer = (json.loads(reply.read(1 << 16)).get("data") or {}).get("viewer")
            answer.append(None if viewer else f"{server} does not know the key")
        except urllib.error.HTTPError as error:
            answer.append(f"{server} does not accept the key" if error.code in (401, 403) else None)
        except (OSError, ValueError, AttributeError):
            answer.append(f"{server} cannot be reached")

    # In a thread: looking up a name has no limit of its own.
    asking = threading.Thread(target=ask, daemon=True)
    asking.start()
    asking.join(seconds)
    return answer[0] if answer else f"{server} cannot be reached"


def run_id_of(loggers: Sequence[Logger]) -> str | None:
    """The W&B id, if the run is logged there."""
    for logger in loggers:
        if isinstance(logger, WandbLogger):
            return str(logger.experiment.id)
    return None


def logged_steps(loggers: Sequence[Logger]) -> int:
    """How many W&B steps the run has; 0 if it is not logged there."""
    for logger in loggers:
        if isinstance(logger, WandbLogger):
            return int(logger.experiment.step)
    return 0


def log_export(loggers: Sequence[Logger], path: Path, metrics: Mapping[str, Any], facts: Mapping[str, Any]) -> None:
    """The exported weights and their card as an artifact, and the run's final figures as its summary."""
    for logger in loggers:
        if isinstance(logger, WandbLogger):
            import wandb

            run = logger.experiment
            plain = {key: facts[key] for key in ("steps", "best_step", "hours", "machine") if key in facts}
            artifact = wandb.Artifact(
                re.sub(r"[^A-Za-z0-9_.-]", "-", f"{path.stem}-{run.id}"), "model", metadata={**plain, **metrics}
            )
            for file in (path, path.with_suffix(".md")):
                artifact.add_file(str(file))
            run.log_artifact(artifact, aliases=["exported"])
            run.summary.update({**metrics, **{f"export/{key}": value for key, value in plain.items()}})


def log_facts(loggers: Sequence[Logger], facts: Mapping[str, Any], run_dir: Path) -> None:
    """The run's configuration, git state and data: to every logger, and to ``run_dir/run.json``."""
    write_facts(facts, run_dir)
    for logger in loggers:
        logger.log_hyperparams(dict(facts))


def write_facts(facts: Mapping[str, Any], run_dir: Path) -> None:
    """To ``run_dir/run.json``; what earlier starts of the same run wrote of themselves stays under ``earlier``.

    Raises:
        UserError: if it cannot be written.
    """
    path, draft = run_dir / "run.json", run_dir / "run.json.part"
    try:
        run_dir.mkdir(parents=True, exist_ok=True)
        earlier = _earlier(path, facts)
        draft.write_text(json.dumps({**facts, **({"earlier": earlier} if earlier else {})}, indent=2, default=str))
        os.replace(draft, path)
    except OSError as error:
        raise UserError(
            f"{path} could not be written ({error.strerror or error}).",
            "Free some space, or hydra.run.dir=<a folder that is yours>.",
            ENVIRONMENT,
        ) from error


def _earlier(path: Path, facts: Mapping[str, Any]) -> list[Any]:
    try:
        held = json.loads(path.read_text())
    except (OSError, ValueError):
        return []
    earlier = list(held.get("earlier", []))
    same = held.get("run", {}).get("began") == facts.get("run", {}).get("began")
    return earlier if same else [*earlier, held.get("run", {})]


def log_picture(loggers: Sequence[Logger], run_dir: Path, name: str, picture: Tensor, step: int) -> Path:
    """(3, H, W) in [0, 1]: to ``run_dir/media`` and to every logger that shows pictures."""
    path = save_picture(run_dir / "media" / f"{name.replace('/', '_')}_{step:07d}.png", picture)
    for logger in loggers:
        if isinstance(logger, WandbLogger):
            logger.log_image(name, [str(path)])
        elif isinstance(logger, TensorBoardLogger):
            logger.experiment.add_image(name, picture.detach().cpu(), step)
    return path


def log_animation(loggers: Sequence[Logger], run_dir: Path, name: str, frames: Tensor, step: int) -> Path:
    """(T, C, H, W) in [0, 1]: a GIF in ``run_dir/media``, and to every logger that shows films."""
    path = save_animation(run_dir / "media" / f"{name.replace('/', '_')}_{step:07d}.gif", frames)
    for logger in loggers:
        if isinstance(logger, WandbLogger):
            logger.log_video(name, [str(path)], format=["gif"])
        elif isinstance(logger, TensorBoardLogger):
            logger.experiment.add_image(f"{name}/middle", frames[len(frames) // 2].detach().cpu(), step)
    return path


def finish(loggers: Sequence[Logger]) -> None:
    """Closes the loggers' runs; logs the command that uploads an offline run."""
    for logger in loggers:
        if isinstance(logger, WandbLogger):
            import wandb

            wandb.finish()
            if isinstance(logger, _Wandb) and logger.offline_part:
                folder = shlex.quote(str(Path(logger.save_dir or ".") / "wandb"))
                log.info("W&B: all parts of the run upload as one with: WANDB_RESUME=allow wandb sync %s", folder)


def wandb_key() -> str | None:
    """The key of the environment or of the user's netrc file; None without one."""
    if os.environ.get("WANDB_API_KEY"):
        return os.environ["WANDB_API_KEY"]
    try:
        host = urllib.parse.urlsplit(_server()).hostname or ""
        credentials = netrc.netrc(os.environ.get("NETRC")).authenticators(host)
    except (OSError, netrc.NetrcParseError):
        return None
    return credentials[2] if credentials else None
