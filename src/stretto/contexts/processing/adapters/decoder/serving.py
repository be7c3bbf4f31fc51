"""What the decoder's process does: waits for an open file, says what is in it, and ends."""

from __future__ import annotations

from io import FileIO
from pathlib import Path
from socket import recv_fds, socket

# PyAV imports these when it meets a stream that wants them; then no file can be opened any more.
import av.audio.codeccontext
import av.audio.stream
import av.subtitles.codeccontext
import av.subtitles.stream
import av.video.codeccontext
import av.video.stream  # noqa: F401

from stretto.contexts.core.audio import BYTES_PER_SECOND
from stretto.contexts.core.errors import StrettoError
from stretto.contexts.processing.adapters.decoder import sandbox, wire
from stretto.contexts.processing.adapters.demuxing import OnePass, look
from stretto.contexts.processing.adapters.media_faults import Fault, FaultKind
from stretto.contexts.processing.adapters.media_source import MediaSource


def serve(descriptor: int) -> None:
    """One file: first perhaps a look into it, then perhaps its samples."""
    channel = socket(fileno=descriptor)
    sandbox.settle()
    sandbox.die_with(sandbox.WATCHED)
    data, files, _, _ = recv_fds(channel, wire.REQUEST.size, 1)
    if not files:
        return  # the parent needs no decoder any more
    sandbox.lock()
    send(channel, wire.Kind.READY)
    file = FileIO(files[0])
    while data:
        request = wire.unpack_request(data)
        try:
            answer(channel, source_of(file, request), request)
        except Fault as fault:
            send(channel, wire.Kind.FAULT, wire.pack_fault(fault))
        except MemoryError:
            send(channel, wire.Kind.FAULT, wire.pack_fault(Fault(FaultKind.TOO_MUCH_MEMORY)))
        if request.command is wire.Command.DECODE:
            return
        data = channel.recv(wire.REQUEST.size)


def answer(channel: socket, source: MediaSource, request: wire.Request) -> None:
    """Raises Fault and MemoryError."""
    if request.command is wire.Command.LOOK:
        send(channel, wire.Kind.LOOKED, wire.pack_look(look(source, request.stream)))
        return
    decoded, sent = OnePass(source, request.stream), 0
    for block in decoded.blocks():
        send(channel, wire.Kind.SAMPLES, block)
        sent += len(block)
        sandbox.allow_cpu(sent / BYTES_PER_SECOND)
    send(channel, wire.Kind.OUTCOME, wire.pack_findings(decoded.findings))


def send(channel: socket, kind: wire.Kind, payload: bytes | bytearray = b"") -> None:
    channel.sendall(wire.frame(kind, payload))


def source_of(file: FileIO, request: wire.Request) -> MediaSource:
    """The parent has recognised it; what is not recognised here has changed since. Raises Fault."""
    try:
        return MediaSource(file, path=Path("recording"), size=request.size_bytes)
    except OSError as cause:
        raise Fault(FaultKind.UNREADABLE, cause.errno or 0) from cause
    except StrettoError as cause:
        raise Fault(FaultKind.DAMAGED) from cause
