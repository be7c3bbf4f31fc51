"""Programs that stand in for the decoder, for tests: each does what a decoder must not do."""

from __future__ import annotations

import sys
from pathlib import Path

import stretto
from stretto.contexts.processing.adapters.decoder.reader import IsolatedReader

SOURCE = Path(stretto.__file__).parent.parent

PREAMBLE = f"""
import os, signal, struct, sys, time
from socket import recv_fds, socket
sys.path.append({str(SOURCE)!r})
from stretto.contexts.processing.adapters.decoder.wire import *
channel = socket(fileno=int(sys.argv[1]))
def send(kind, payload=b""):
    channel.sendall(frame(kind, payload))
def asked():
    data, files, _, _ = recv_fds(channel, REQUEST.size, 1)
    return unpack_request(data)
"""

LOOKS = """
from stretto.contexts.processing.adapters.findings import Findings, Look
asked()
send(Kind.READY)
send(Kind.LOOKED, pack_look(Look(stream_index=0, codec="flac", duration_s=None, own_choice=True)))
asked()
SECOND = bytes(32_000)
"""
"""Behaves as far as the look; what follows is asked for samples."""


def decoder_that(does: str, *, after_a_look: bool = True) -> IsolatedReader:
    """A reader whose decoder runs these statements of Python."""
    code = PREAMBLE + (LOOKS if after_a_look else "") + does
    return IsolatedReader(command=[sys.executable, "-I", "-S", "-B", "-c", code])
