"""How pictures are stored that are no film: animations (GIF, WebP, APNG) and numbered images."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from vfi_pipeline.errors import ENVIRONMENT, USAGE, UserError
from vfi_pipeline.media import encoder_limits, ffmpeg
from vfi_pipeline.media.codecs import number
from vfi_pipeline.media.encoding import Encoding, VideoSpec, is_turned, output_tags
from vfi_pipeline.media.film_encoding import film_encoding
from vfi_pipeline.media.pixel_formats import shape

# Outputs that are pictures rather than films: by suffix. The value is ``Encoding.finish``.
ANIMATIONS = {".gif": "gif", ".webp": "webp", ".apng": "apng"}
IMAGES = {
    ".png": "png",
    ".tif": "tiff",
    ".tiff": "tiff",
    ".jpg": "mjpeg",
    ".jpeg": "mjpeg",
    ".bmp": "bmp",
    ".webp": "libwebp",
}

GIF_RATE = 50  # frames per second: a GIF counts hundredths of a second, and players slow down below two of them


def animation_encoding(
    spec: VideoSpec, suffix: str, codec: str, crf: float | None, preset: str | None, pix_fmt: str | None
) -> Encoding:
    """Lossless FFV1 segments; ``assemble`` makes the animation of them."""
    finish = ANIMATIONS[suffix]
    _only_codec(codec, (finish, f"lib{finish}", "libwebp_anim"), suffix)
    if pix_fmt is not None:
        raise UserError(f"pix_fmt= does not apply to {suffix}.", "leave pix_fmt= out.", USAGE)
    _check_stills(suffix, crf, (0, 100, 90, "higher is better, 100 is lossless") if finish == "webp" else None, preset)
    notes = []
    if finish == "gif":
        if spec.rate > GIF_RATE:
            raise UserError(
                f"GIF counts in hundredths of a second and players slow down below two: "
                f"{number(float(spec.rate))} frames per second is too many.",
                "fps=50, or an output that ends in .webp or .apng.",
                USAGE,
            )
        notes.append("GIF holds 256 colours: a palette is made for this film, with dithering.")
    elif finish == "webp":
        notes.append(
            "Animated WebP is stored at quality 90; crf=0 to 100 is its quality here, 100 is lossless."
            if crf is None
            else ""
        )
    if shape(spec.pixel_format).depth > 8 and finish != "apng":
        notes.append(f"{shape(spec.pixel_format).depth} bit are rounded to 8.")
    held = film_encoding(spec, ".nut", "ffv1", None, None, None)
    options = (("quality", number(crf if crf is not None else 90)),) if finish == "webp" else ()
    return replace(
        held, codec=finish, finish=finish, notes=tuple(n for n in notes if n), options=held.options + tuple(
            (f"finish:{key}", value) for key, value in options
        ), lossless=False, turned=is_turned(spec),
    )  # fmt: skip


def _check_stills(
    suffix: str, crf: float | None, quality: tuple[float, float, float, str] | None, preset: str | None
) -> None:
    """UserError for a crf that images or animations that end in ``suffix`` do not take, and for any preset.

    Args:
        quality: lowest and highest value, an example, and what they mean; None where there is nothing to set.
    """
    if preset is not None:
        raise UserError(f"{suffix} has no presets.", "leave preset= out.", USAGE)
    if crf is not None and quality is None:
        raise UserError(f"{suffix} has no crf.", "leave crf= out.", USAGE)
    if crf is not None and quality is not None and not quality[0] <= crf <= quality[1]:
        low, high, example, meaning = quality
        raise UserError(
            f"crf={number(crf)} is beyond what {suffix} takes: {low:g} to {high:g}, {meaning}.", f"crf={example:g}.",
            USAGE,
        )  # fmt: skip


def image_encoding(
    spec: VideoSpec, target: Path, codec: str, crf: float | None, preset: str | None, pix_fmt: str | None
) -> Encoding:
    """Numbered images: PNG of 8 or 16 bit unless the suffix asks for another kind."""
    suffix = target.suffix.lower() if target.suffix.lower() in IMAGES else ".png"
    if target.suffix and target.suffix.lower() not in IMAGES:
        raise UserError(
            f"{target.name}: {target.suffix} is not an image that can be written here.", f"one of {' '.join(IMAGES)}."
        )
    encoder = IMAGES[suffix]
    _only_codec(codec, (encoder, suffix[1:], "jpeg" if encoder == "mjpeg" else encoder), suffix)
    if encoder not in ffmpeg.encoders():
        raise UserError(f"This ffmpeg cannot write {suffix}.", "frames/%08d.png", ENVIRONMENT)
    want = shape(spec.pixel_format)
    notes = []
    _check_stills(suffix, crf, (2, 31, 2, "lower is better and larger") if encoder == "mjpeg" else None, preset)
    if encoder == "mjpeg":
        sub = {(2, 2): "420", (2, 1): "422"}.get(want.sub if want.family == "yuv" else (1, 1), "444")
        chosen = f"yuvj{sub}p"
        options: tuple[tuple[str, str], ...] = (("q:v", number(crf) if crf is not None else "2"),)
        notes.append(f"JPEG loses detail{', transparency' if want.alpha else ''} and all but 8 bit; .png keeps it.")
    else:
        deep = "16" if want.depth > 8 and encoder in ("png", "tiff") else ""
        order = "be" if encoder == "png" else "le"
        if want.family == "gray":
            chosen = f"gray16{order}" if deep else "gray"
        elif deep:
            chosen = f"rgba64{order}" if want.alpha else f"rgb48{order}"
        else:
            chosen = "rgba" if want.alpha else "rgb24"
        if encoder in ("libwebp", "bmp"):
            chosen = "bgra" if want.alpha or encoder == "libwebp" else "bgr24"
        options = {"png": (("compression_level", "4"), ("pred", "mixed")), "libwebp": (("lossless", "1"),)}.get(
            encoder, ()
        )
        if want.family == "yuv":
            notes.append(f"Images hold RGB: YUV is converted, rounded to {16 if deep else 8} bit.")
        if want.depth > 8 and not deep:
            notes.append(f"{want.depth} bit are rounded to 8; .png keeps them.")
    if pix_fmt is not None:
        supported = ffmpeg.encoder_pixel_formats(encoder)
        chosen = encoder_limits.written(pix_fmt, supported)
        if chosen not in supported:
            raise encoder_limits.unknown_format(pix_fmt, suffix, supported)
    return Encoding(
        suffix[1:], encoder, chosen, options, "", "image2", "images",
        lossless=want.family != "yuv" and encoder in ("png", "tiff"), notes=tuple(notes),
        colour=output_tags(spec, shape(chosen), chosen),
        pattern=target.name if target.suffix else "%08d.png", turned=is_turned(spec),
    )  # fmt: skip


def _only_codec(codec: str, names: tuple[str, ...], suffix: str) -> None:
    if codec not in ("auto", *names):
        raise UserError(
            f"{suffix} cannot hold codec={codec}.", "leave codec= out, or an output that ends in .mkv.", USAGE
        )
