"""The picture of the pan: what it claims about the border is measured against the truth."""

from benchmarks.borders import figure
from vfi_pipeline.models.flow import load_flow


def test_what_enters_comes_from_the_frame_that_sees_it_and_is_not_smeared():
    image, errors = figure(load_flow("flow"))
    assert image.width > image.height > 0
    assert errors["truth between"] == 0 and errors["earlier frame"] > 20 and errors["later frame"] > 20
    assert errors["ours"] < 0.6 * errors["border replicated"]
