"""Importing the package leaves the process as it was; the programs, not the package, set what threads do."""

import json
import os
import subprocess
import sys

import pytest

IMPORTS = """
import json, os, pkgutil, sys
import cv2, torch, pytorch_lightning, matplotlib, wandb, lpips  # what they do themselves is not ours
import hydra, omegaconf, av, tensorboardX, torchdiffeq, skimage, sklearn
before = dict(os.environ), torch.get_num_threads(), torch.get_num_interop_threads(), cv2.getNumThreads()
import vfi_pipeline
names = [m.name for m in pkgutil.walk_packages(vfi_pipeline.__path__, "vfi_pipeline.")]
for name in names:
    if not name.endswith(".vapoursynth"):  # it needs its host
        __import__(name)
after = dict(os.environ), torch.get_num_threads(), torch.get_num_interop_threads(), cv2.getNumThreads()
print(json.dumps([len(names), before == after, [key for key in after[0] if after[0][key] != before[0].get(key)]]))
"""


def environment():
    return {key: value for key, value in os.environ.items() if not key.startswith("OMP_")}


@pytest.mark.slow
def test_importing_every_module_changes_no_environment_variable_and_no_number_of_threads(root):
    run = subprocess.run(
        [sys.executable, "-c", IMPORTS], cwd=root, capture_output=True, text=True, env=environment(), check=True
    )
    count, same, changed = json.loads(run.stdout.splitlines()[-1])

    assert count > 150 and (same, changed) == (True, [])


@pytest.mark.parametrize(("chosen", "policy"), [(None, "PASSIVE"), ("ACTIVE", "ACTIVE")])
@pytest.mark.parametrize("program", ["interpolate", "evaluate"])
def test_programs_let_waiting_threads_sleep_unless_told_otherwise(root, program, chosen, policy):
    code = (
        f"import os, sys, {program}\nassert 'torch' not in sys.modules\n"
        f"try:\n    {program}.main(['--help'])\nexcept SystemExit:\n    pass\n"
        "sys.stderr.write(os.environ['OMP_WAIT_POLICY'])"
    )
    given = environment() | ({"OMP_WAIT_POLICY": chosen} if chosen else {})
    run = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True, env=given, check=True)

    assert run.stderr.endswith(policy)
