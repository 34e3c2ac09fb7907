"""Remedies of the Python API are Python."""

from __future__ import annotations

import pytest
from clips import make_clip

import vfi_pipeline
from vfi_pipeline.adapters.keywords import as_keywords


@pytest.mark.parametrize(
    ("typed", "keywords"),
    [
        ("overwrite=true, or another output=.", "overwrite=True, or another output=."),
        ("resume=false to start anew.", "resume=False to start anew."),
        ("start=2 end=10.5.", "start=2, end=10.5."),
        ("size=1280x720 fit_size=pad.", 'size="1280x720", fit_size="pad".'),
        ("output='a b/c.mkv', or output=done/ (a folder).", 'output="a b/c.mkv", or output="done/" (a folder).'),
        ("at=[0.25,0.75].", 'at="[0.25,0.75]".'),
        ("fps=60000/1001 (a rate)", 'fps="60000/1001" (a rate)'),
        ("did you mean b.mkv? input='b c.mkv'", 'did you mean b.mkv? path="b c.mkv"'),
        ("model.guide_span=400.", '**{"model.guide_span": 400}.'),
        ("weights=<a run>/<name>.safetensors, made so.", 'weights="<a run>/<name>.safetensors", made so.'),
        ("python interpolate.py input=clip.mp4 fps=60 (--help shows more).",
         'vfi_pipeline.interpolate("clip.mp4", fps=60) (docs/interpolate.md shows more).'),
        ("multi (python interpolate.py --help lists them all).", "multi (docs/interpolate.md lists them all)."),
        ("scale=0.5, device=cpu; the same command goes on from here.",
         'scale=0.5, device="cpu"; the same call goes on from here.'),
        ("pip install pillow-heif, which reads HEIC.", "pip install pillow-heif, which reads HEIC."),
        ("leave weights= out, or choose another model=.", "leave weights= out, or choose another model=."),
        ("the variable VFI_MODEL=x or --fps=3 or a/fps=2", "the variable VFI_MODEL=x or --fps=3 or a/fps=2"),
    ],
)  # fmt: skip
def test_options_become_keyword_arguments(typed, keywords):
    assert as_keywords(typed) == keywords


@pytest.mark.parametrize("call", [vfi_pipeline.frames, vfi_pipeline.interpolate])
def test_errors_of_a_call_name_its_arguments(tmp_path, call):
    path = make_clip(tmp_path / "a.mkv", frames=3)
    with pytest.raises(vfi_pipeline.UserError, match=r'model="flow"|model=') as caught:
        call(path, fps=60, model="fit")
    assert caught.value.args[1] == 'model="flow".'
    with pytest.raises(vfi_pipeline.UserError) as caught:
        call(path, fps=60, modle="flow")
    assert "python interpolate.py" not in str(caught.value) and "docs/interpolate.md" in str(caught.value)
    with pytest.raises(vfi_pipeline.UserError) as caught:
        call(path, fps=60, start=3, end=1)
    assert caught.value.args[1] == "start=1, end=3."


def test_a_file_that_exists_is_told_with_true(tmp_path):
    path = make_clip(tmp_path / "a.mkv", frames=3)
    with pytest.raises(vfi_pipeline.UserError) as caught:
        vfi_pipeline.interpolate(path, multi=2, model="hold", output=make_clip(tmp_path / "b.mkv", frames=3))
    assert caught.value.args[1:] == ("overwrite=True, or another output=.", 4)


@pytest.mark.parametrize("dtype", ["int64", "float64", "nonsense", object(), complex])
def test_another_dtype_is_told_with_a_remedy(tmp_path, dtype):
    path = make_clip(tmp_path / "a.mkv", frames=3)
    with pytest.raises(vfi_pipeline.UserError, match="uint8, uint16, float32, not as") as caught:
        vfi_pipeline.frames(path, multi=2, dtype=dtype)
    assert 'Try: dtype="uint8"' in str(caught.value) and isinstance(caught.value, ValueError)
