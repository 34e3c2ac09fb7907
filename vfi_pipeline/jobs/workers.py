"""Which executor the options ask for."""

from __future__ import annotations

from collections.abc import Callable

from vfi_pipeline.jobs.distribute import worker_processors
from vfi_pipeline.jobs.executor import Executor
from vfi_pipeline.jobs.method import devices_of
from vfi_pipeline.jobs.options import Options
from vfi_pipeline.jobs.processes import Processes
from vfi_pipeline.jobs.ray_cluster import RayCluster
from vfi_pipeline.jobs.slurm import Slurm


def open_executor(options: Options, device: str) -> Callable[[], Executor]:
    """Opens the executor, when called; ``device`` is the kind that its workers have.

    The call raises ``UserError`` if a library is missing, or a cluster cannot be reached.
    """

    def open_it() -> Executor:
        if options.executor == "ray":
            return RayCluster(options.workers, options.address, options.worker_cpus, device)
        if options.executor == "slurm":
            return Slurm(options.workers or 1, options.worker_cpus, device, dict(options.slurm or ()))
        devices = devices_of(options) if options.devices is not None else [device]
        count = options.workers or len(devices)
        threads = max(1, worker_processors() // count) if device == "cpu" else None
        return Processes(count, devices, threads)

    return open_it
