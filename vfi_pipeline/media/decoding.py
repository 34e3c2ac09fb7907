"""From packets to pictures, by PyAV: which decoder, with what limits, and what to do with broken packets."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import av
import av.error

from vfi_pipeline.media.opening import MAX_PIXELS, open_media

OnError = Callable[[str, int | None], None]
"""Takes what went wrong and the time stamp of the packet, in ticks, None if unknown."""

Decode = Callable[[av.Packet | None], list[av.VideoFrame]]
"""Pictures that a packet brings forth; None drains the decoder."""

HEAD_FRAMES = 8
"""Frames that are decoded for the facts that only a frame tells."""


def decode_head(path: Path, index: int, max_pixels: int, count: int = HEAD_FRAMES) -> list[av.VideoFrame]:
    """The first ``count`` frames that can be decoded of stream ``index``; fewer if there are fewer."""
    frames: list[av.VideoFrame] = []
    with open_media(path, max_pixels) as container:
        stream = container.streams[index]
        decode = decoder_for(stream, threads=1, max_pixels=max_pixels)
        failures = 0
        try:
            for packet in container.demux(stream):
                try:
                    frames += decode(packet)
                except av.error.FFmpegError:
                    failures += 1
                    if failures > 50:
                        break
                if len(frames) >= count:
                    break
        except av.error.FFmpegError:
            pass
    return frames[:count]


def decoder_for(stream: Any, threads: int, max_pixels: int = MAX_PIXELS) -> Decode:
    """The function that decodes ``stream``'s packets: its own decoder, or libvpx where only that one sees the alpha.

    WebM keeps alpha beside each VP8 or VP9 packet (``alpha_mode`` 1), and ffmpeg's own decoders look past it.
    """
    mode = next((value for key, value in stream.metadata.items() if key.lower() == "alpha_mode"), "0")
    own = stream.codec_context
    other = {"vp8": "libvpx", "vp9": "libvpx-vp9"}.get(own.name)
    if mode.strip() == "1" and other and other in av.codecs_available:
        context: Any = av.CodecContext.create(other, "r")
        context.thread_count = threads
        context.options = {"max_pixels": str(max_pixels)}
        if own.extradata:
            context.extradata = own.extradata
        return context.decode
    if not own.is_open:
        own.thread_count = threads
        own.thread_type = "AUTO" if threads > 1 else "SLICE"
        own.options = {**own.options, "max_pixels": str(max_pixels)}
    return own.decode


def decode_all(
    path: Path,
    stream: int,
    max_pixels: int = MAX_PIXELS,
    on_error: OnError | None = None,
    threads: int | None = None,
) -> Iterator[av.VideoFrame]:
    """Every picture that can be decoded of stream ``stream``, as PyAV has it.

    Raises:
        av.error.FFmpegError: at the first packet that cannot be read or decoded, unless ``on_error`` takes its message.
    """
    with open_media(path, max_pixels) as container:
        chosen = container.streams[stream]
        decode = decoder_for(chosen, threads or min(8, os.cpu_count() or 1), max_pixels)
        yield from decode_packets(container, chosen, decode, on_error)


def decode_packets(
    container: av.container.InputContainer,
    stream: av.stream.Stream,
    decode: Decode,
    on_error: OnError | None = None,
) -> Iterator[av.VideoFrame]:
    """Every picture from where ``container`` stands; what cannot be decoded is skipped if ``on_error`` is given."""
    packets = container.demux(stream)
    transport = container.format.name == "mpegts"  # it calls packets corrupt where recordings were joined
    while True:
        try:
            packet = next(packets, None)
        except av.error.FFmpegError as error:
            if on_error is None:
                raise
            on_error(error.strerror or "unreadable", None)
            packet = None
        try:
            if packet is None:
                yield from decode(None)
                return
            if on_error is not None and packet.is_corrupt and not transport:
                on_error("a frame is cut off", packet.pts)
                continue  # what a decoder makes of it is half a picture
            yield from decode(packet if packet.size else None)
            if not packet.size:
                return
        except av.error.EOFError:
            return
        except av.error.FFmpegError as error:
            if on_error is None:
                raise
            on_error(error.strerror or "undecodable", packet.pts if packet is not None else None)
