"""Decodes one audio stream to 16 kHz mono and keeps every sample at its time, damage or not."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

import av
from av.audio.frame import AudioFrame
from av.audio.stream import AudioStream
from av.container import InputContainer
from av.filter import Graph
from av.filter.context import FilterContext
from av.packet import Packet

from stretto.contexts.core.audio import BYTES_PER_SAMPLE, SAMPLE_RATE_HZ, Span
from stretto.contexts.processing.adapters.media_types import MediaType

BLOCK_SAMPLES: Final = 5 * SAMPLE_RATE_HZ

_JITTER: Final = int(0.05 * SAMPLE_RATE_HZ)
"""The timestamps of live recordings tremble by this many samples without meaning it."""

_EXACT: Final = int(0.005 * SAMPLE_RATE_HZ)
"""Allowed behind an undecodable packet, where a hole is expected and is filled exactly."""

_LARGEST_FILL: Final = 2 * 3600 * SAMPLE_RATE_HZ
"""Silence put into one file. Timestamps are the file's word; forged ones could ask for years."""

_FREE_FILLS: Final = 1_000
_FILLS_PER_S: Final = 2
"""Each costs half a millisecond; a forged file could ask for one per sample."""

_SHORTEST_LOST_END: Final = SAMPLE_RATE_HZ // 2
_HOLE_BYTES: Final = 1_024
"""More bytes than this between two packets and a second between their times: data was lost."""

_LOWEST_RATE_HZ: Final = 2_000
"""Below it one frame of a forged file would grow to hundreds of megabytes when resampled."""

_FRUITLESS_READS: Final = 16


class Decoding:
    """One pass over one stream. ``samples`` were given out so far, ``unreadable`` is silence that
    stands for lost audio, ``paused`` counts samples of silence that stand for a pause."""

    def __init__(self, container: InputContainer, stream: AudioStream, *, kind: MediaType) -> None:
        self.samples = 0
        self.unreadable: list[Span] = []
        self.paused = 0
        self.jumps = 0
        self.ends_in_damage = False
        self._container = container
        self._stream = stream
        self._kind = kind
        self._converter: Converter | None = None
        self._base = 0
        self._filled = 0
        self._fills = 0
        self._shift = round((container.start_time or 0) / av.time_base * SAMPLE_RATE_HZ)
        self._damaged = False
        self._failed_until = 0
        self._hole = False
        self._good_bytes = 0
        self._good_s = 0.0

    def blocks(self) -> Iterator[bytearray]:
        for block in self._blocks():
            self.samples += len(block) // BYTES_PER_SAMPLE
            yield block

    def _blocks(self) -> Iterator[bytearray]:
        for frame in self._frames():
            missing = self._missing(frame)
            if missing:
                yield from self._finish_converter()
                yield from self._fill(missing)
            yield from self._convert(frame)
        yield from self._finish_converter()
        lost = self._failed_until - self.samples
        self.ends_in_damage = self._damaged
        if self.samples and _SHORTEST_LOST_END < lost <= _LARGEST_FILL - self._filled:
            yield from self._fill(lost)

    def _convert(self, frame: AudioFrame) -> Iterator[bytearray]:
        if self._converter is None or not self._converter.takes(frame):
            yield from self._finish_converter()
            try:
                self._converter = Converter(frame)
            except av.FFmpegError:  # a format that FFmpeg can decode but not convert
                self._damaged = True
                return
            self._base = self.samples
        self._damaged = self._hole = False
        yield from self._converter.convert(frame)

    def _finish_converter(self) -> Iterator[bytearray]:
        converter, self._converter = self._converter, None
        if converter is not None:
            yield from converter.finish()

    def _missing(self, frame: AudioFrame) -> int:
        """Samples of silence that must come before ``frame`` to put it at its time."""
        if frame.pts is None or frame.time_base is None:
            return 0
        at = round(frame.pts * frame.time_base * SAMPLE_RATE_HZ) - self._shift
        converted = self._converter.samples + self._base if self._converter else self.samples
        missing = at - converted
        if missing < -SAMPLE_RATE_HZ or missing > self._largest_fill():
            self.jumps += 1
            self._shift += missing
            return 0
        # Less than a second too early is left alone: catching up would cut away what was said.
        return missing if missing > (_EXACT if self._damaged else _JITTER) else 0

    def _largest_fill(self) -> int:
        decoded_s = (self.samples - self._filled) // SAMPLE_RATE_HZ
        if self._fills >= _FREE_FILLS + _FILLS_PER_S * decoded_s:
            return _JITTER
        return _LARGEST_FILL - self._filled

    def _fill(self, missing: int) -> Iterator[bytearray]:
        if self._damaged or self._is_loss(missing):
            self._add_unreadable(Span(self.samples, self.samples + missing))
        elif self.samples:
            self.paused += missing
        self._filled += missing
        self._fills += 1
        for start in range(0, missing, BLOCK_SAMPLES):
            yield bytearray(min(BLOCK_SAMPLES, missing - start) * BYTES_PER_SAMPLE)

    def _is_loss(self, missing: int) -> bool:
        if not self.samples or self._kind is MediaType.MOV:
            return False
        return not self._kind.may_pause or (self._hole and missing >= SAMPLE_RATE_HZ)

    def _add_unreadable(self, span: Span) -> None:
        if self.unreadable and self.unreadable[-1].end == span.start:
            span = Span(self.unreadable.pop().start, span.end)
        self.unreadable.append(span)

    def _frames(self) -> Iterator[AudioFrame]:
        for packet in self._packets():
            try:
                frames = self._stream.codec_context.decode(packet)
            except av.FFmpegError:
                self._note_failure(packet)
            else:
                self._good_bytes += packet.size
                self._good_s += _duration_s(packet)
                yield from filter(self._is_usable, frames)

    def _is_usable(self, frame: AudioFrame) -> bool:
        usable = frame.sample_rate >= _LOWEST_RATE_HZ and 0 < frame.layout.nb_channels <= 64
        self._damaged = self._damaged or not usable
        return usable

    def _note_failure(self, packet: Packet[AudioStream]) -> None:
        if self._kind is MediaType.MP3 and b"ID3" in bytes(packet):
            return  # the tag of a second file that was appended to the first
        self._damaged = True
        if packet.pts is not None and packet.time_base:
            end_s = float(packet.pts * packet.time_base) + _duration_s(packet)
            self._failed_until = round(end_s * SAMPLE_RATE_HZ) - self._shift
        if self._kind is MediaType.MP3 and self._good_bytes:
            # MP3 has no clock: FFmpeg counts any stretch of rubbish as one frame of 26 ms. How
            # long it really was follows from its bytes.
            lost_s = packet.size * self._good_s / self._good_bytes - _duration_s(packet)
            self._shift -= max(0, round(lost_s * SAMPLE_RATE_HZ))

    def _packets(self) -> Iterator[Packet[AudioStream]]:
        """All packets, and an empty one that makes the decoder give out what it holds back.

        An unreadable place in the container ends FFmpeg's reading; another try often goes on
        behind it.
        """
        failures, end = 0, None
        while failures < _FRUITLESS_READS:
            try:
                for packet in self._container.demux(self._stream):
                    if end is not None and packet.pos is not None:
                        self._hole = self._hole or packet.pos - end > _HOLE_BYTES
                    end = packet.pos + packet.size if packet.pos is not None else None
                    failures = 0
                    yield packet
            except av.FFmpegError:
                failures += 1
                self._damaged = True
            except IndexError:  # PyAV at the end of a file in which a new stream turned up
                return
            else:
                return


def _duration_s(packet: Packet[AudioStream]) -> float:
    return float((packet.duration or 0) * packet.time_base) if packet.time_base else 0.0


class Converter:
    """FFmpeg's own filters from one sample format to blocks of 16 kHz, mono, 16 bits."""

    def __init__(self, frame: AudioFrame) -> None:
        """Raises av.FFmpegError for a format that cannot be converted."""
        self._format = _format(frame)
        self._rate_hz = frame.sample_rate
        self._taken = 0
        self._waiting = 0
        self._graph, self._input, self._output = _filters(frame)

    @property
    def samples(self) -> int:
        """Samples at 16 kHz that everything taken so far makes."""
        return round(self._taken * SAMPLE_RATE_HZ / self._rate_hz)

    def takes(self, frame: AudioFrame) -> bool:
        return self._format == _format(frame)

    def convert(self, frame: AudioFrame) -> Iterator[bytearray]:
        frame.pts = None  # Decoding places the samples; the filters must not do it again
        self._input.push(frame)
        self._taken += frame.samples
        self._waiting += frame.samples
        # Asking for output costs more than putting input in: ask when a block can be there.
        if self._waiting * SAMPLE_RATE_HZ >= BLOCK_SAMPLES * self._rate_hz:
            self._waiting = 0
            yield from self._ready()

    def finish(self) -> Iterator[bytearray]:
        self._input.push(None)
        yield from self._ready()

    def _ready(self) -> Iterator[bytearray]:
        while True:
            try:
                frame: Any = self._output.pull()
            except (BlockingIOError, EOFError):
                return
            yield bytearray(memoryview(frame.planes[0])[: frame.samples * BYTES_PER_SAMPLE])


def _format(frame: AudioFrame) -> tuple[int, str, str]:
    return frame.sample_rate, frame.format.name, frame.layout.name


def _filters(frame: AudioFrame) -> tuple[Graph, FilterContext, FilterContext]:
    """Source, downmix and resampling, blocks of equal length, sink."""
    rate, sample_format, layout = _format(frame)
    graph = Graph()
    graph.threads = 1
    nodes = [
        graph.add(
            "abuffer",
            sample_rate=str(rate),
            sample_fmt=sample_format,
            channel_layout=layout,
            time_base=f"1/{rate}",
        )
    ]
    channels = frame.layout.nb_channels
    if channels > 2 and layout.endswith(" channels"):
        # Tracks of a field recorder, not loudspeakers: FFmpeg knows no mix, so all count the same.
        mix = "+".join(f"c{i}" for i in range(channels))
        nodes.append(graph.add("pan", f"mono|c0<{mix}"))
    to_mono = {"sample_rates": str(SAMPLE_RATE_HZ), "sample_fmts": "s16", "channel_layouts": "mono"}
    nodes.append(graph.add("aformat", **to_mono))
    nodes.append(graph.add("asetnsamples", n=str(BLOCK_SAMPLES), p="0"))
    nodes.append(graph.add("abuffersink"))
    graph.link_nodes(*nodes).configure()
    return graph, nodes[0], nodes[-1]
