"""How a film is stored: its codec, encoder and pixel format, and what that loses. Reasons: docs/output.md."""

from __future__ import annotations

from dataclasses import replace

from vfi_pipeline.errors import ENVIRONMENT, USAGE, UserError
from vfi_pipeline.media import encoder_limits, ffmpeg
from vfi_pipeline.media.codecs import ALIASES, CODECS, HOLDS, ROTATES, Codec, Request, encoder_options, stem_of
from vfi_pipeline.media.encoding import Encoding, VideoSpec, holds_exactly, is_turned, output_tags
from vfi_pipeline.media.pixel_formats import Shape, known_formats, nearest_format, needs_even, shape, shape_or_none

PQ_OR_HLG = ("smpte2084", "arib-std-b67")

ON_DEVICES = ("_nvenc", "_qsv", "_amf", "_vaapi", "_vulkan", "_videotoolbox", "_mf", "_v4l2m2m")
"""How encoders end that need a device; each is tried before it is planned with."""


def film_encoding(
    spec: VideoSpec, suffix: str, codec: str, crf: float | None, preset: str | None, pix_fmt: str | None
) -> Encoding:
    """The encoding of a film in the container ``suffix``; arguments and errors as of ``encoders.choose_encoding``."""
    family = ALIASES.get(codec, codec)
    notes: list[str] = []
    if family == "auto":
        family, why = _automatic(spec, suffix, pix_fmt)
        notes += [why] if why else []
    elif family not in CODECS and not (family in ffmpeg.encoders() and ffmpeg.encoder_pixel_formats(family)):
        raise _missing(codec)
    elif family in ffmpeg.encoders() and not known_formats(ffmpeg.encoder_pixel_formats(family)):
        raise _missing(codec)  # VAAPI's and Vulkan's take only pictures that lie in a GPU's memory
    elif suffix in HOLDS and stem_of(family) not in HOLDS[suffix]:
        raise UserError(
            f"{suffix} cannot hold {family}.",
            f"codec={HOLDS[suffix][0]}, or an output name that ends in {'.mov' if family == 'prores' else '.mkv'}.",
            USAGE,
        )
    encoder, settings = _encoder(family, spec, pix_fmt)
    supported = ffmpeg.encoder_pixel_formats(encoder) or (spec.pixel_format,)
    if encoder in ("mjpeg", "amv") and spec.colour.range != "pc":  # JPEG's range is the full one, of its own formats
        supported = tuple(name for name in supported if name.startswith("yuvj")) or supported
        notes.append("JPEG is full range and BT.601: the pictures are converted.")
    pix_fmt = None if pix_fmt is None else encoder_limits.written(pix_fmt, supported)
    chosen, losses = _pixel_format(spec, family, encoder, supported, pix_fmt, suffix)
    notes += losses
    if encoder.endswith(ON_DEVICES) and not ffmpeg.encoder_works(encoder):
        raise _missing(codec)
    # ffmpeg 9 decodes no film that says twice how its views are packed: Matroska says it itself.
    described = replace(spec, stereo=None) if suffix in (".mkv", ".webm") else spec
    if crf is not None:
        with_crf = [name for name in HOLDS.get(suffix, ("h264",)) if name in CODECS and CODECS[name].crf is not None]
        encoder_limits.check_quality(encoder, family, crf, settings.crf, with_crf)
    if preset is not None:
        encoder_limits.check_preset(encoder, family, preset)
    options = encoder_options(encoder, Request(described, family, settings, chosen, crf, preset))
    if encoder == "prores_ks" and preset is not None and dict(options)["profile:v"] != preset:
        notes.append(f"{chosen} asks for ProRes {dict(options)['profile:v']}: preset={preset} was not taken.")
    lossless = settings.lossless and holds_exactly(shape(chosen), spec)
    # NUT keeps rational time to the tick and joins cleanly; it loses VP9's alpha and does not know VVC, for which
    # Matroska is used.
    in_matroska = (encoder == "libvpx-vp9" and shape(chosen).alpha) or stem_of(family) == "vvc"
    turned = is_turned(spec) and suffix not in (*ROTATES, ".nut")
    if turned:
        notes.append(f"The pictures are turned upright for good: {suffix} cannot say that a player must turn them.")
    elif is_turned(spec) and suffix in ROTATES and not ffmpeg.has_option("-display_rotation"):
        turned = True
        notes.append(
            f"The pictures are turned upright for good: ffmpeg {ffmpeg.version()} cannot say that a player must turn "
            "them; the imageio-ffmpeg package's can (unset VFI_FFMPEG)."
        )
    return Encoding(
        stem_of(family), encoder, chosen, options,
        ".mkv" if in_matroska else ".nut", "matroska" if in_matroska else "nut",
        lossless=lossless, notes=tuple(notes), colour=output_tags(spec, shape(chosen), chosen), turned=turned,
    )  # fmt: skip


def _automatic(spec: VideoSpec, suffix: str, pix_fmt: str | None) -> tuple[str, str | None]:
    """The codec family where the user named none, and what to tell of it."""
    source = shape(spec.pixel_format)
    asked = shape_or_none(pix_fmt) if pix_fmt else None
    if suffix == ".webm":
        return "vp9", None
    if source.alpha and suffix == ".mov":
        return "prores", None
    if source.alpha and suffix in (".mkv", ".nut") and source.depth == 8:
        return "vp9", "The pictures have transparency, which H.264 cannot hold: VP9 was chosen."
    sub = source.sub if source.family == "yuv" else (2, 2)
    odd = (sub[0] > 1 and spec.width % 2) or (sub[1] > 1 and spec.height % 2)
    if odd and pix_fmt is None and suffix in (".mp4", ".m4v", ".mkv", ".nut") and "libvpx-vp9" in ffmpeg.encoders():
        return "vp9", (
            f"{spec.width}x{spec.height} is odd, which H.264 and H.265 cannot hold in 4:2:0: VP9 was chosen "
            "(codec=h264 stores 4:4:4 instead)."
        )
    depth = asked.depth if asked else source.depth
    if (spec.colour.transfer in PQ_OR_HLG and depth > 8) or (depth > 10 and source.family == "yuv"):
        return "hevc", None
    return "h264", None


def _encoder(family: str, spec: VideoSpec, pix_fmt: str | None) -> tuple[str, Codec]:
    """The encoder of this ffmpeg for a family, with the family's settings."""
    present = ffmpeg.encoders()
    settings_of_codec = CODECS.get(family)
    if settings_of_codec is None:
        if family in present and ffmpeg.encoder_pixel_formats(family):
            base = next((f for f in CODECS.values() if family in f.encoders), Codec((family,)))
            return family, base
        raise _missing(family)
    candidates = [name for name in settings_of_codec.encoders if name in present]
    if not candidates:
        raise _missing(family)
    if family == "av1" and len(candidates) == 2:
        # SVT-AV1 is several times faster and knows only 4:2:0; libaom knows the rest.
        want = (pix_fmt and (shape_or_none(pix_fmt) or shape_or_none(f"{pix_fmt}le"))) or shape(spec.pixel_format)
        only_420 = want.family != "yuv" or (want.sub == (2, 2) and want.depth <= 10)
        return (candidates[0] if only_420 else candidates[1]), settings_of_codec
    return candidates[0], settings_of_codec


def _missing(codec: str) -> UserError:
    present = ffmpeg.encoders()
    have = [
        name for name, family in CODECS.items() if any(e in present for e in family.encoders) and "nvenc" not in name
    ]
    what = f"codec={codec} is not known, or ffmpeg {ffmpeg.version()} has no encoder for it"
    if codec.endswith(ON_DEVICES) and codec in present:
        what = f"codec={codec} needs a GPU and driver that can encode it"
        if not known_formats(ffmpeg.encoder_pixel_formats(codec)):
            what = f"codec={codec} takes pictures from a GPU's memory, where none are put here"
    remedy = f"codec= one of {', '.join(have)}, or name another ffmpeg with VFI_FFMPEG=."
    return UserError(f"{what}.", remedy, ENVIRONMENT if "GPU" in what else USAGE)


def _pixel_format(
    spec: VideoSpec, family: str, encoder: str, supported: tuple[str, ...], pix_fmt: str | None, suffix: str
) -> tuple[str, list[str]]:
    """The stored pixel format and what it loses against the source's."""
    want = shape(spec.pixel_format)
    notes: list[str] = []
    lossy_yuv = stem_of(family) in ("h264", "hevc", "av1", "vp9") and encoder != "libx264rgb"
    if pix_fmt is not None:
        if pix_fmt not in known_formats(supported):
            raise encoder_limits.unknown_format(pix_fmt, encoder, tuple(known_formats(supported)))
        chosen, have = pix_fmt, shape(pix_fmt)
        if family == "h264" or family == "hevc":
            _refuse_odd(spec, chosen, suffix)
    else:
        ask = want
        if want.family == "rgb" and lossy_yuv:
            ask = Shape("yuv", min(want.depth, 10), (2, 2), want.alpha)
        names = supported
        if stem_of(family) in ("h264", "hevc"):
            names = tuple(name for name in known_formats(supported) if not _too_odd(spec, name)) or supported
        if lossy_yuv:  # grey and RGB inside these codecs play in few players, and x265's alpha in fewer
            names = tuple(n for n in names if (s := shape_or_none(n)) and s.family == "yuv") or names
            if stem_of(family) != "vp9":
                names = tuple(n for n in names if not shape(n).alpha) or names
        nearest = nearest_format(ask, names)
        chosen = nearest or spec.pixel_format
        have = shape(chosen)
    odd = bool(spec.width % 2 or spec.height % 2)
    notes += _losses(want, have, family, odd, suffix, "yuv444p" in supported)
    return chosen, notes


def _too_odd(spec: VideoSpec, name: str) -> bool:
    wide, high = needs_even(name)
    return bool((wide and spec.width % 2) or (high and spec.height % 2))


def _refuse_odd(spec: VideoSpec, name: str, suffix: str) -> None:
    if _too_odd(spec, name):
        others = "".join(f", or codec={codec}" for codec in ("vp9", "av1") if codec in HOLDS.get(suffix, (codec,)))
        raise UserError(
            f"H.264 and H.265 cannot store {spec.width}x{spec.height} in {name}: its chroma needs even sizes.",
            f"pix_fmt=yuv444p{others}.",
            USAGE,
        )


def _losses(want: Shape, have: Shape, family: str, odd: bool, suffix: str, full: bool) -> list[str]:
    """What storing ``have`` for ``want`` loses, and what to type instead. ``full``: the encoder knows yuv444p."""
    notes = []
    exact = "codec=ffv1" if "ffv1" in HOLDS.get(suffix, ("ffv1",)) else "codec=ffv1 and an output that ends in .mkv"
    keeps = "keeps" if exact == "codec=ffv1" else "keep"
    if want.family == "rgb" and have.family == "yuv":
        sub = {(2, 2): "4:2:0", (2, 1): "4:2:2", (1, 1): "4:4:4"}.get(have.sub, "subsampled")
        notes.append(
            f"RGB is stored as YUV {sub} (BT.709), rounded to {have.depth} bit"
            + ("" if have.sub == (1, 1) or not full else "; pix_fmt=yuv444p keeps full colour resolution")
            + f", {exact} {keeps} it exactly."
        )
    elif want.family == "yuv" and have.family == "yuv":
        if have.sub[0] > want.sub[0] or have.sub[1] > want.sub[1]:
            notes.append(f"{family} stores less colour resolution here than the source has; {exact} {keeps} it.")
        elif odd and have.sub != want.sub and have.sub == (1, 1):
            notes.append("The size is odd: chroma is stored at full resolution (4:4:4), which some players refuse.")
    elif want.family == "yuv" and have.family == "rgb":
        notes.append("YUV is stored as RGB, which rounds.")
    elif want.family != "gray" and have.family == "gray":
        notes.append("Colour is lost: the pixel format is grey.")
    if have.depth < want.depth:
        notes.append(f"{want.depth} bit are rounded to {have.depth}; {exact} {keeps} them.")
    if want.alpha and not have.alpha:
        notes.append(
            f"Transparency is lost: {family} does not hold it here; an output that ends in .webm or .mov does."
        )
    return notes
