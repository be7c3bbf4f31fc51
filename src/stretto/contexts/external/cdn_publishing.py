"""Turns a transcript and its recording into what listeners fetch, and hands it to the uploader."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Final

from stretto.contexts.core.audio import AudioFile
from stretto.contexts.core.errors import InvalidOption
from stretto.contexts.core.identifiers import Sha256
from stretto.contexts.core.transcript import Transcript
from stretto.contexts.external.cdn import CDNUploader, Progress
from stretto.contexts.external.cdn_model import AssetKind, Content, Delivery, Draft
from stretto.contexts.external.cdn_ports import Encoder

_UNKNOWN: Final = (".bin", "application/octet-stream")
_ORIGINALS: Final = MappingProxyType(
    {
        "wav": (".wav", "audio/wav"),
        "mp3": (".mp3", "audio/mpeg"),
        "flac": (".flac", "audio/flac"),
        "ogg": (".ogg", "audio/ogg"),
        "aac": (".aac", "audio/aac"),
        "aiff": (".aiff", "audio/aiff"),
        "amr": (".amr", "audio/amr"),
        "mov": (".mp4", "video/mp4"),
        "matroska": (".mkv", "video/x-matroska"),
        "avi": (".avi", "video/x-msvideo"),
        "mpegts": (".ts", "video/mp2t"),
        "mpeg": (".mpg", "video/mpeg"),
    }
)
"""By what the file is, never by its name: nobody is to be served HTML that is called talk.wav."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CDNPublishing:
    """``probe`` looks at a recording and hashes it; ``pieces`` reads a file; ``scratch`` lends a
    path for a file with that suffix, which is gone afterwards."""

    uploader: CDNUploader
    encoder: Encoder | None
    probe: Callable[[Path], AudioFile]
    content_of: Callable[[Path], Content]
    scratch: Callable[[str], AbstractContextManager[Path]]
    original: bool

    def publish(
        self,
        transcript: Transcript,
        documents: Sequence[Draft],
        *,
        recording: Path | None = None,
        original: bool = False,
        heard: Callable[[float], None] = lambda _: None,
        sent: Progress = lambda _asset, _bytes: None,
    ) -> Delivery:
        """The documents, and of the recording what the settings say; what cannot be sent now waits.

        ``heard`` is told the seconds of audio that are encoded, ``sent`` the bytes that are on
        their way. Raises UnusableMedia, InvalidOption for the recording of something else,
        UnknownTranscript, StorageFull, StorageUnavailable.
        """
        with ExitStack() as files:
            drafts = list(documents)
            if recording is not None:
                file = self._checked(recording, transcript)
                if self.encoder is not None:
                    drafts.append(self._audio(self.encoder, file, files, heard))
                if original or self.original:
                    drafts.append(self._original(file))
            return self.uploader.publish(transcript.id, drafts, progressed=sent)

    def _checked(self, recording: Path, transcript: Transcript) -> AudioFile:
        file = self.probe(recording)
        if file.file_hash != transcript.file_hash:
            raise InvalidOption(
                f"{str(recording)!r} is not the recording of the transcript {transcript.id}: its "
                "bytes are others. Give the file that was transcribed, or transcribe this one."
            )
        return file

    def _audio(
        self,
        encoder: Encoder,
        file: AudioFile,
        files: ExitStack,
        heard: Callable[[float], None],
    ) -> Draft:
        target = files.enter_context(self.scratch(encoder.suffix))
        encoder.encode(file.path, target, progressed=heard)
        return Draft(
            kind=AssetKind.AUDIO,
            content=self.content_of(target),
            suffix=encoder.suffix,
            content_type=encoder.content_type,
            name=file.path.name,
        )

    def _original(self, file: AudioFile) -> Draft:
        suffix, content_type = _ORIGINALS.get(file.container, _UNKNOWN)
        found = self.content_of(file.path)
        if found.sha256 != Sha256(file.file_hash.value):
            raise InvalidOption(f"{str(file.path)!r} was changed just now. Publish it again.")
        return Draft(
            kind=AssetKind.ORIGINAL,
            content=found,
            suffix=suffix,
            content_type=content_type,
            name=file.path.name,
        )
