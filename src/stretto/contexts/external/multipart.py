"""Writes a form with one file as the pieces of a body (RFC 7578), without copying the file."""

from __future__ import annotations

from collections.abc import Sequence

from stretto.contexts.external.model import Piece
from stretto.contexts.external.ports import Encoded

_ESCAPES = str.maketrans({'"': "%22", "\r": "%0D", "\n": "%0A"})


def form_of(
    fields: Sequence[tuple[str, str]], file: Encoded, *, boundary: str
) -> tuple[str, tuple[Piece, ...]]:
    """The content type and the body. ``boundary`` must not occur in what is sent: take a random
    one of 128 bits."""
    parts = [
        f'--{boundary}\r\nContent-Disposition: form-data; name="{name.translate(_ESCAPES)}"'
        f"\r\n\r\n{value}\r\n"
        for name, value in fields
    ]
    head = (
        f'--{boundary}\r\nContent-Disposition: form-data; name="file"; '
        f'filename="{file.name.translate(_ESCAPES)}"\r\nContent-Type: {file.media_type}\r\n\r\n'
    )
    body = ("".join((*parts, head)).encode(), *file.pieces, f"\r\n--{boundary}--\r\n".encode())
    return f"multipart/form-data; boundary={boundary}", body
