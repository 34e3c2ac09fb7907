"""What a pair costs a device is counted without one, and nothing in it waits."""

import pytest

from benchmarks import gpu, launch_counts

pytestmark = pytest.mark.filterwarnings("ignore:Accessing the data pointer of FakeTensor")


def test_a_pair_waits_for_nothing_and_launches_no_more_than_it_did():
    frames = gpu.drawn_frames(320, 192, 4)
    once = launch_counts.count(frames)
    stages = {each.stage.split(" (")[0]: each for each in once}

    assert sum(each.waits for each in once) == 0
    assert stages["planes to the device"].copies == 2 and stages["planes to the device"].launches == 0
    assert stages["store"].copies == 2
    assert stages["composition"].as_run <= 3  # the field, and a kernel for luma and one for chroma
    assert stages["network and estimate"].as_run < 4 < stages["network and estimate"].launches
    assert sum(each.as_run for each in once) < MOST_LAUNCHES

    lines = launch_counts.table(once).splitlines()
    assert len(lines) == 2 + len(once) + 1 and lines[-1].startswith("| all | ")


MOST_LAUNCHES = 280
"""Of a pair at 2x: 261 when this was written. Fewer are better."""


def test_the_command_prints_a_table_for_each_rate(capsys):
    assert gpu.main(["--count", "--sizes", "320x192", "--rates", "2,4"]) == 0
    told = capsys.readouterr().out
    assert "320x192, 2x:" in told and "320x192, 4x:" in told and told.count("| all | ") == 2
