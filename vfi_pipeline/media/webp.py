"""The chunks of a WebP file, as far as an animation needs them (RFC 9649)."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

LONGEST_MS = (1 << 24) - 1
"""How long one frame can stand."""

_ALPHA, _ANIMATION = 0x10, 0x02


def chunks(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """(name, body) of each chunk of a whole file."""
    at = 12
    while at + 8 <= len(data):
        length = int.from_bytes(data[at + 4 : at + 8], "little")
        yield data[at : at + 4], data[at + 8 : at + 8 + length]
        at += 8 + length + length % 2


def chunk(name: bytes, body: bytes) -> bytes:
    """A chunk, padded to an even length."""
    return name + len(body).to_bytes(4, "little") + body + bytes(len(body) % 2)


def as_animation(path: Path, width: int, height: int, milliseconds: int, plays: int) -> None:
    """Makes an animation of a single picture, which stands for so long; an animation is left as it is.

    libwebp merges equal frames, and where one is left writes a picture without a duration.

    Args:
        plays: how often it is played; 0: for ever.
    """
    data = path.read_bytes()
    parts = list(chunks(data))
    names = [name for name, _ in parts]
    if data[:4] != b"RIFF" or b"ANMF" in names:
        return
    picture = b"".join(chunk(name, body) for name, body in parts if name in (b"ALPH", b"VP8 ", b"VP8L"))
    # A lossless picture says in its own header whether it has alpha: bit 28 of the word behind its signature.
    lossless = next((body for name, body in parts if name == b"VP8L"), b"")
    alpha = _ALPHA if b"ALPH" in names or (len(lossless) > 4 and lossless[4] & 0x10) else 0
    size = (width - 1).to_bytes(3, "little") + (height - 1).to_bytes(3, "little")
    frames = b""
    while milliseconds > 0:
        stands = min(milliseconds, LONGEST_MS)
        frames += chunk(b"ANMF", bytes(6) + size + stands.to_bytes(3, "little") + b"\x02" + picture)
        milliseconds -= stands
    body = chunk(b"VP8X", bytes([alpha | _ANIMATION, 0, 0, 0]) + size)
    body += chunk(b"ANIM", bytes(4) + plays.to_bytes(2, "little")) + frames
    path.write_bytes(b"RIFF" + (len(body) + 4).to_bytes(4, "little") + b"WEBP" + body)
