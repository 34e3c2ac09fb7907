"""All that a file holds beside pictures and sound: kept, converted, or named as lost before the work."""

from __future__ import annotations

import io
import json
import struct
from pathlib import Path

import av
import clips
import numpy as np
import pytest
from PIL import Image, ImageCms

from vfi_pipeline.media import ffmpeg
from vfi_pipeline.media.inventory import frame_side_data, inventory, loop_count, stream_side_data
from vfi_pipeline.media.probe import probe
from vfi_pipeline.media.reader import read_frames

X264 = ["-c:v", "libx264", "-preset", "ultrafast", "-qp", "0"]


def told(caplog):
    return [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]


def remuxed(source: Path, target: Path, *options: str) -> Path:
    words = [*clips.ALWAYS, "-i", ffmpeg.file_url(source), "-map", "0", "-c", "copy", *options]
    ffmpeg.run([*words, ffmpeg.file_url(target)], f"making {target.name}")
    return target


def captioned(path: Path) -> Path:
    """H.264 whose frames carry CEA-608 captions: an SEI message before each slice (ATSC A/53, part 4)."""
    film = clips.make_clip(path.with_name("plain.h264"), frames=12, codec=[*X264, "-bf", "0", "-x264-params", "aud=1"])
    cc = b"\xb5\x00\x31GA94\x03\xc1\xff\xfc\x94\x2c\xff"
    sei = b"\0\0\0\1\x06\x04" + bytes([len(cc)]) + cc + b"\x80"
    aud = b"\0\0\0\1\x09"
    first, *rest = film.read_bytes().split(aud)
    assert len(rest) == 12
    data = first + b"".join(aud + unit[:1] + sei + unit[1:] for unit in rest)
    path.with_name("cc.h264").write_bytes(data)
    words = [*clips.ALWAYS, "-framerate", "25", "-i", ffmpeg.file_url(path.with_name("cc.h264")), "-c", "copy"]
    ffmpeg.run([*words, ffmpeg.file_url(path)], "making captions")
    return path


@pytest.mark.parametrize("suffix", [".mkv", ".mp4", ".webm"])
def test_closed_captions_are_named_as_lost_before_the_work(good, tmp_path, caplog, suffix):
    captioned(tmp_path / "cc.ts")
    line = f"closed captions (CEA-608, CEA-708): LOST (not carried over to {suffix})"
    assert line in good("input=cc.ts", "multi=2", f"output=out{suffix}", "dry_run=true", "model=hold").out
    made = good("input=cc.ts", "multi=2", f"output=out{suffix}", "report=r.json", "model=hold")
    assert line in told(caplog) and "did not say" not in made.out
    (film,) = json.loads((tmp_path / "r.json").read_text())["films"]
    assert film["lost"] == ["closed captions (CEA-608, CEA-708)"] and film["lost_unplanned"] == []


@pytest.mark.parametrize(
    ("source", "suffix", "kept"),
    [(".mov", ".mov", True), (".mp4", ".mkv", True), (".mkv", ".mp4", True), (".mov", ".ts", False)],
)
def test_a_time_code_keeps_its_start_at_the_new_rate(good, tmp_path, caplog, source, suffix, kept):
    clips.make_clip(tmp_path / f"tc{source}", frames=12, codec=X264, extra=["-timecode", "01:02:03:10"])
    assert probe(tmp_path / f"tc{source}").timecode == "01:02:03:10"
    shown = good(f"input=tc{source}", "multi=2", f"output=out{suffix}", "dry_run=true", "model=hold").out
    good(f"input=tc{source}", "multi=2", f"output=out{suffix}", "model=hold")
    if not kept:
        line = "time code: LOST (.ts holds none). Try: an output that ends in .mov or .mkv"
        assert line in told(caplog)
        return
    assert "time code: kept, starts at 01:02:03:20" in shown and told(caplog) == []
    assert probe(tmp_path / f"out{suffix}").timecode == "01:02:03:20"
    good(f"input=tc{source}", "multi=2", "start=0.2", f"output=cut{suffix}", "model=hold")
    assert probe(tmp_path / f"cut{suffix}").timecode == "01:02:03:30"


@pytest.mark.parametrize("suffix", [".mkv", ".mp4", ".webm", ".ts"])
def test_how_two_views_are_packed_is_kept(good, tmp_path, caplog, suffix):
    clips.make_clip(tmp_path / "3d.mkv", frames=6, codec=[*X264, "-metadata:s:v:0", "stereo_mode=top_bottom"])
    assert probe(tmp_path / "3d.mkv").video.stereo == ("top_bottom", 4)
    good("input=3d.mkv", "multi=2", f"output=out{suffix}", "model=hold")
    assert told(caplog) == [] and probe(tmp_path / f"out{suffix}").video.stereo == ("top_bottom", 4)


def spherical(path: Path) -> Path:
    """An MP4 that says it is a panorama: an sv3d box in its sample entry (Spherical Video V2)."""
    clips.make_clip(path, frames=6, codec=X264)
    data = bytearray(path.read_bytes())
    svhd, prhd = b"\0\0\0\x0dsvhd\0\0\0\0\0", b"\0\0\0\x18prhd" + bytes(16)
    proj = prhd + b"\0\0\0\x1cequi" + bytes(20)
    proj = struct.pack(">I", 8 + len(proj)) + b"proj" + proj
    box = struct.pack(">I", 8 + len(svhd) + len(proj)) + b"sv3d" + svhd + proj
    at = data.index(b"avc1", data.index(b"stsd")) - 4
    end = at + int.from_bytes(data[at : at + 4], "big")
    data[end:end] = box
    for name in (b"avc1", b"stsd", b"stbl", b"minf", b"mdia", b"trak", b"moov"):  # moov lies behind the samples
        place = data.rindex(name, 0, end) - 4
        data[place : place + 4] = struct.pack(">I", int.from_bytes(data[place : place + 4], "big") + len(box))
    path.write_bytes(data)
    return path


def test_a_panorama_is_named_and_so_is_a_kind_that_nobody_has_thought_of(good, tmp_path, caplog, monkeypatch):
    spherical(tmp_path / "360.mp4")
    good("input=360.mp4", "multi=2", "output=out.mp4", "model=hold")
    assert any(line.startswith("spherical projection (360 degrees): LOST") for line in told(caplog))


def test_side_data_by_whatever_name():
    said = """Input #0, mov, from 'a':
  Stream #0:0[0x1]: Video: h264, 64x48
    Metadata:
      handler_name    : x
    Side data:
      DOVI configuration record: version: 1.0, profile: 8
      Something of tomorrow: yes
        detail: no
      displaymatrix: rotation of 90.00 degrees
  Stream #0:1: Audio: aac
    Side data:
      audio service type: main
Stream mapping:
  Stream #0:0 -> #0:0
Output #0, null
  Stream #0:0: Video
    Side data:
      cpb: bitrate
[showinfo]   side data - HDR Dynamic Metadata SMPTE2094-40 (HDR10+): application version: 1
[showinfo]   side data - H.26[45] User Data Unregistered SEI message: UUID=dc45e9bd-e6d9-48b7-962c-d820d923eeef
[showinfo]   side data - H.26[45] User Data Unregistered SEI message: UUID=11111111-e6d9-48b7-962c-d820d923eeef
[showinfo]   side data - GOP timecode: 00:00:00:00
[showinfo]   side data - GOP timecode: 00:00:00:12
[showinfo]   side data - Tomorrow's metadata: (12 bytes)
"""
    assert stream_side_data(said, 0) == {"Dolby Vision metadata", "Something of tomorrow"}
    assert stream_side_data(said, 1) == {"audio service type"}
    assert frame_side_data(said) == {"HDR10+ metadata", "user data of the frames (SEI)", "Tomorrow's metadata"}


def test_tags_and_marks_that_a_container_does_not_hold_are_named_with_the_one_that_does(good, tmp_path, caplog):
    film = clips.make_clip(
        tmp_path / "film.mkv", frames=6, audio=("eng", "eng"), codec=X264,
        tags={"title": "A film", "purl": "about:blank", "MOOD": "calm"},
    )  # fmt: skip
    remuxed(film, tmp_path / "a.mkv", "-metadata:s:a:1", "title=Director", "-disposition:a:1", "comment")
    good("input=a.mkv", "multi=2", "output=out.mp4", "model=hold")
    lines = [line for line in told(caplog) if line.startswith(("tag", "mark"))]
    assert any("'PURL'" in line and "'MOOD'" in line and "LOST (not carried over to .mp4)" in line for line in lines)
    assert all(line.endswith("Try: an output that ends in .mkv keeps it") for line in lines)
    assert not any("title" in line.lower() for line in lines)
    caplog.clear()
    good("input=a.mkv", "multi=2", "output=out.mkv", "model=hold")
    assert told(caplog) == []
    held = {item.name.lower(): item.value for item in inventory(tmp_path / "out.mkv", 0, (1, 2))}
    assert held["tag purl"] == "about:blank" and held["tag mood"] == "calm" and "mark 'comment'" in held


def test_what_is_lost_at_the_end_and_was_not_planned_is_told(good, tmp_path, monkeypatch):
    from vfi_pipeline.jobs import local
    from vfi_pipeline.media.inventory import Item

    clips.make_clip(tmp_path / "a.mkv", frames=3)
    monkeypatch.setattr(local, "held_by_source", lambda *_: {Item("pictures", "smell")})
    made = good("input=a.mkv", "multi=2", "output=out.mkv", "model=hold", "report=r.json")
    assert "lost, though the plan did not say so: smell." in made.out
    assert json.loads((tmp_path / "r.json").read_text())["films"][0]["lost_unplanned"] == ["smell"]


# ------------------------------------------------------------------------------------------------------- animations


@pytest.mark.parametrize("plays", [0, 1, 3])
@pytest.mark.parametrize("suffix", [".gif", ".apng", ".webp"])
def test_an_animation_is_played_as_often_as_its_source(good, tmp_path, caplog, plays, suffix):
    frames = [Image.new("RGB", (32, 24), (60 * n, 40, 90)) for n in range(3)]
    times = {"loop": plays - 1} if plays > 1 else {"loop": 0} if plays == 0 else {}
    frames[0].save(tmp_path / "a.gif", save_all=True, append_images=frames[1:], duration=100, **times)
    assert loop_count(tmp_path / "a.gif") == plays
    good("input=a.gif", "multi=2", f"output=out{suffix}", "scene=off")
    assert loop_count(tmp_path / f"out{suffix}") == plays
    assert not any("LOST" in line for line in told(caplog))


def test_films_do_not_repeat_and_say_so(good, tmp_path, caplog):
    clips.gif_clip(tmp_path / "a.gif")
    good("input=a.gif", "fps=20", "output=out.mkv")
    assert any(line.startswith("repetition of the animation: LOST") for line in told(caplog))


# --------------------------------------------------------------------------------------------------------- profiles


def wide_gamut() -> bytes:
    """A profile with the primaries of Adobe RGB, made by LittleCMS from sRGB's: its red and green are further out."""
    profile = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    count = struct.unpack(">I", profile[128:132])[0]
    colorants = {
        b"rXYZ": (0.60974, 0.31111, 0.01947),
        b"gXYZ": (0.20528, 0.62567, 0.06087),
        b"bXYZ": (0.14919, 0.06322, 0.74457),
    }
    for k in range(count):
        tag, at, _ = struct.unpack(">4sII", profile[132 + 12 * k : 144 + 12 * k])
        if tag in colorants:
            profile[at + 8 : at + 20] = struct.pack(">3i", *(round(value * 65536) for value in colorants[tag]))
    return bytes(profile)


def shown(path: Path) -> tuple[int, ...]:
    """The colour that a viewer with colour management shows in a picture's corner."""
    with Image.open(path) as picture:
        profile = picture.info.get("icc_profile")
        picture = picture.convert("RGB")
        if profile:
            own = ImageCms.ImageCmsProfile(io.BytesIO(profile))
            picture = ImageCms.profileToProfile(picture, own, ImageCms.createProfile("sRGB"), renderingIntent=1)
        return picture.getpixel((3, 3))


@pytest.fixture
def photos(tmp_path):
    """Two pictures in a wide colour space, seen as (230, 30, 30) or so."""
    (tmp_path / "photos").mkdir()
    for n in range(2):
        pixels = np.full((48, 64, 3), (197, 35, 35), np.uint8)
        pixels[10:30, 10 + 8 * n : 30 + 8 * n] = (60, 160, 60)
        Image.fromarray(pixels).save(tmp_path / "photos" / f"{n}.png", icc_profile=wide_gamut())
    return tmp_path / "photos"


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".tif", ".webp"])
@pytest.mark.parametrize("words", [("fps=50",), ("t=[0,0.5]", "model=blend")])
def test_images_keep_the_profile(good, tmp_path, photos, suffix, words, caplog):
    assert shown(photos / "0.png")[0] > 220
    good("input=photos", *words, f"output=out/%02d{suffix}")
    for path in sorted((tmp_path / "out").iterdir()):
        assert np.abs(np.subtract(shown(path), shown(photos / "0.png"))).max() <= (4 if suffix == ".jpg" else 0)
    assert not any("profile" in line for line in told(caplog) if "LOST" in line)


@pytest.mark.parametrize("words", [("fps=50",), ("duration=0.2", "model=blend")])
@pytest.mark.parametrize("name", ["out.mkv", "out.gif", "out/%02d.bmp"])
def test_films_are_converted_to_their_own_colours(good, tmp_path, photos, words, name, caplog):
    good("input=photos", *words, f"output={name}", *(["codec=ffv1"] if name == "out.mkv" else []))
    path = tmp_path / (name if "%" not in name else "out/01.bmp")
    with av.open(str(path)) as container:
        pixel = next(container.decode(video=0)).to_ndarray(format="rgb24")[3, 3]
    assert np.abs(pixel.astype(int) - shown(photos / "0.png")).max() <= 2
    assert any("pictures are converted from their colour space" in line for line in told(caplog))


def test_pictures_of_several_spaces_share_the_first_ones(good, tmp_path, photos):
    Image.new("RGB", (64, 48), shown(photos / "0.png")).save(photos / "2.png")  # the same red, in sRGB
    good("input=photos", "fps=25", "output=out/%02d.png")
    seen = [shown(path) for path in sorted((tmp_path / "out").iterdir())]
    assert len(seen) == 3 and all(np.abs(np.subtract(one, seen[0])).max() <= 2 for one in seen)


def test_jpegs_of_a_camera_are_converted_too(good, tmp_path, photos):
    for n in range(2):
        Image.open(photos / f"{n}.png").save(photos / f"{n}.jpg", quality=98, subsampling=0, icc_profile=wide_gamut())
        (photos / f"{n}.png").unlink()
    good("input=photos", "fps=50", "output=out.mkv", "codec=ffv1")
    with read_frames(probe(tmp_path / "out.mkv")) as frames:
        g, b, r = (int(plane[3, 3]) for plane in next(iter(frames)).planes)
    assert np.abs(np.subtract((r, g, b), shown(photos / "0.jpg"))).max() <= 3


def test_a_film_of_png_with_a_named_profile_does_not_end_the_process(good, tmp_path, photos):
    words = [*clips.ALWAYS, "-framerate", "25", "-i", str(photos / "%d.png"), "-c:v", "copy"]
    ffmpeg.run([*words, ffmpeg.file_url(tmp_path / "png.mov")], "making a film of PNG")
    import gc

    for _ in range(3):
        probe(tmp_path / "png.mov")
        gc.collect()
    made = good("input=png.mov", "multi=2", "output=out.mkv", "model=hold", "dry_run=true")
    assert "ICC profile: LOST" in made.out


def test_the_name_of_a_service_is_named_where_it_is_lost(good, tmp_path, caplog):
    clips.make_clip(tmp_path / "tv.ts", frames=6, extra=["-metadata", "service_name=Channel Nine"])
    good("input=tv.ts", "multi=2", "output=out.mkv", "model=hold")
    assert any(line.startswith("name of the service 'Channel Nine': LOST") for line in told(caplog))
