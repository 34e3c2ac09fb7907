"""What a pair costs a device is counted without one, and nothing in it waits."""

import pytest
import torch

from benchmarks import gpu, launch_counts
from vfi_pipeline.models.flow import load_flow
from vfi_pipeline.synthesis import compose
from vfi_pipeline.synthesis.options import Options
from vfi_pipeline.synthesis.statistics import Statistics
from vfi_pipeline.synthesis.stream import interpolate

pytestmark = pytest.mark.filterwarnings("ignore:Accessing the data pointer of FakeTensor")

MOST_LAUNCHES = {1: 24, 7: 42}
"""Of a pair at 2x and at 8x: 19.4 and 37.4 when this was written (214 and 294 before acceleration and ODE were graphs).
Fewer are better."""


@pytest.fixture(scope="module", params=[1, 7])
def counts(request):
    return request.param, launch_counts.count(gpu.drawn_frames(320, 192, 4), times=request.param)


def test_a_pair_waits_for_nothing_and_launches_no_more_than_it_did(counts):
    times, stages = counts
    named = {each.stage.split(" (")[0]: each for each in stages}

    assert sum(each.waits for each in stages) == 0
    assert named["planes to the device"].copies == 2 and named["planes to the device"].launches == 0
    assert named["store"].copies == 2 * times
    assert named["composition"].as_run == 3 * times  # the field, and a kernel for luma and one for chroma
    assert named["network and estimate"].as_run < 4 < named["network and estimate"].launches
    assert named["acceleration"].as_run == 3  # inputs, graph, results
    assert named["ODE and maps"].as_run == 4  # its inputs are of two types
    assert sum(each.as_run for each in stages) < MOST_LAUNCHES[times]

    lines = launch_counts.table(stages).splitlines()
    assert len(lines) == 2 + len(stages) + 1 and lines[-1].startswith("| all | ")


@pytest.mark.slow
def test_the_stream_launches_what_the_stages_say(monkeypatch, counts):
    """The launches of eight pairs more, of a film that runs through the stream."""
    times, stages = counts
    frames = gpu.drawn_frames(320, 192)
    monkeypatch.setattr(Statistics, "settle", lambda self: None)
    monkeypatch.setattr(compose.Arriving, "frame", lambda self: self._like)
    config = load_flow("flow").model.config()

    def launched(pairs):
        slots = (slot for slot, _ in zip(gpu.slots(times + 1), range((times + 1) * pairs)))
        options = Options(device="cuda", batch=8, scene=False, overlay=False)
        with (
            launch_counts.device_with_graphs(config) as model, torch.device("cpu"),
            launch_counts.DeviceCounter() as counter,
        ):  # fmt: skip
            made = sum(output.made for output in interpolate(gpu.film(frames), slots, model, options))
        assert made == times * pairs and counter.waits == 0
        return counter

    some, more = launched(48), launched(56)

    assert (more.launches - some.launches) / 8 == pytest.approx(sum(each.as_run for each in stages), abs=1.5)


def test_the_command_prints_a_table_for_each_rate(capsys):
    assert gpu.main(["--count", "--sizes", "320x192", "--rates", "2,4"]) == 0
    told = capsys.readouterr().out
    assert "320x192, 2x:" in told and "320x192, 4x:" in told and told.count("| all | ") == 2
