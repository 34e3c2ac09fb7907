"""A run's folder is its own: made exclusively, locked, never trained into twice, gone on with only on purpose."""

import json
import multiprocessing

import pytest
import torch

from vfi_pipeline.errors import ENVIRONMENT, UserError
from vfi_pipeline.training.run_folder import claim, is_restart, job_of, make_first_free, rank_of

SLURM = {"SLURM_JOB_ID": "7", "SLURM_JOB_NAME": "train"}


def finished(folder, step=6, steps=6):
    (folder / "checkpoints").mkdir(parents=True)
    facts = {"config": {"steps": steps}, "data": "", "run_id": None}
    torch.save({"global_step": step, "run": facts}, folder / "checkpoints" / "last.ckpt")
    return folder


@pytest.mark.parametrize("step, state", [(6, "finished at step 6 of 6"), (4, "stopped at step 4 of 6")])
def test_a_folder_with_a_run_is_refused_with_both_ways_out(tmp_path, step, state):
    folder = finished(tmp_path / "x", step)
    with pytest.raises(UserError, match=state) as caught:
        claim(folder, chosen=True, environment={})
    _, remedy, code = caught.value.args
    assert f"ckpt_path={folder}" in remedy and "hydra.run.dir=" in remedy and code == ENVIRONMENT


def test_an_export_without_a_checkpoint_is_a_run_too(tmp_path):
    (tmp_path / "export").mkdir()
    (tmp_path / "export" / "a.safetensors").touch()
    with pytest.raises(UserError, match="holds a run already"):
        claim(tmp_path, chosen=True, environment={})


def test_a_damaged_checkpoint_is_still_not_replaced(tmp_path):
    (tmp_path / "last.ckpt").write_bytes(b"junk")
    with pytest.raises(UserError, match="holds a run already"):
        claim(tmp_path, chosen=True, environment={})


def test_a_folder_where_nothing_was_saved_is_taken_again(tmp_path):
    claim(tmp_path / "x", chosen=True, environment={}).release()
    again = claim(tmp_path / "x", chosen=True, environment={})
    assert again.checkpoint is None
    again.release()


def test_going_on_is_possible_on_purpose(tmp_path):
    folder = finished(tmp_path / "x")
    for options in ({"go_on": True}, {"checkpoint": folder / "checkpoints" / "last.ckpt"}):
        held = claim(folder, chosen=True, environment={}, **options)
        assert held.checkpoint == folder / "checkpoints" / "last.ckpt"
        held.release()


def test_a_job_that_was_queued_again_goes_on_and_another_one_does_not(tmp_path):
    claim(tmp_path / "x", chosen=True, environment=SLURM).release()
    finished(tmp_path / "x")
    requeued = claim(tmp_path / "x", chosen=True, environment={**SLURM, "SLURM_RESTART_COUNT": "1"})
    assert requeued.checkpoint is not None
    requeued.release()
    with pytest.raises(UserError, match="holds a run already"):
        claim(tmp_path / "x", chosen=True, environment={**SLURM, "SLURM_JOB_ID": "8"})


def test_two_runs_do_not_share_a_folder(tmp_path):
    first = claim(tmp_path / "x", chosen=True, environment={})
    with pytest.raises(UserError, match=r"Another run is at work in .*pid"):
        claim(tmp_path / "x", chosen=True, environment={})
    first.release()
    claim(tmp_path / "x", chosen=True, environment={}).release()


def _claimed(folder, begin, found, done):
    begin.wait()
    held = claim(folder, chosen=False, environment={})
    found.put(str(held.path))
    done.wait()


def test_folders_named_by_the_second_are_made_exclusively(tmp_path):
    """Several processes want the same name at the same moment."""
    fork = multiprocessing.get_context("fork")
    begin, done, found = fork.Barrier(5), fork.Event(), fork.Queue()
    asked = (tmp_path / "12-00-00", begin, found, done)
    started = [fork.Process(target=_claimed, args=asked) for _ in range(5)]
    for process in started:
        process.start()
    names = {found.get(timeout=60) for _ in started}
    done.set()
    for process in started:
        process.join(60)
    assert names == {str(tmp_path / f"12-00-00{end}") for end in ("", "_2", "_3", "_4", "_5")}
    assert make_first_free(tmp_path / "12-00-00").name == "12-00-00_6"


def test_processes_that_are_not_the_first_write_nothing_and_agree(tmp_path):
    folder = finished(tmp_path / "x")
    (folder / "lock").write_text(json.dumps({"pid": 1, "host": "a", "job": "SLURM_JOB_ID 7"}))
    second = claim(folder, chosen=True, environment={**SLURM, "SLURM_PROCID": "1"})
    assert second.checkpoint is not None and "pid" in (folder / "lock").read_text()
    with pytest.raises(UserError):
        claim(folder, chosen=True, environment={"RANK": "1"})
    assert not (tmp_path / "y").exists()
    assert claim(tmp_path / "y", chosen=True, environment={"LOCAL_RANK": "1"}).checkpoint is None
    assert not (tmp_path / "y").exists()


def test_jobs_and_ranks_are_read_from_the_environment():
    assert job_of({}) is None and job_of({**SLURM, "SLURM_JOB_NAME": "interactive"}) is None
    assert job_of({"SLURM_ARRAY_JOB_ID": "3", "SLURM_ARRAY_TASK_ID": "1", "SLURM_JOB_ID": "5"}) == "SLURM_JOB_ID 3_1"
    assert job_of({"PBS_JOBID": "12.server"}) == "PBS_JOBID 12.server"
    torchrun = {"TORCHELASTIC_RUN_ID": "none", "TORCHELASTIC_RESTART_COUNT": "0"}
    assert not is_restart(torchrun, "torchrun none")
    assert is_restart({**torchrun, "TORCHELASTIC_RESTART_COUNT": "2"}, "torchrun none")
    environments = ({}, {"RANK": "0", "LOCAL_RANK": "0"}, {"RANK": "3"}, {"LOCAL_RANK": "1"})
    assert [rank_of(environment) for environment in environments] == [0, 0, 3, 1]


def test_a_folder_that_cannot_be_made_is_named(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match="Nothing can be written"):
        claim(tmp_path / "file" / "x", chosen=True, environment={})
