"""The processing service: one file in, one transcript out; what is known is recalled.

Recalling needs the file's hash, the engine's identity and the database. Everything else, numpy and
FFmpeg first of all, is imported when there is something to compute.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace
from pathlib import Path
from threading import Thread
from typing import TYPE_CHECKING, Final

from stretto.contexts.core.audio import AudioFile, FileIdentity
from stretto.contexts.core.errors import Unavailable
from stretto.contexts.core.events import TranscriptRecalled
from stretto.contexts.core.recognition import TranscriptionOptions, TranscriptRequest
from stretto.contexts.core.transcript import CacheUse, Transcript, TranscriptNotKept
from stretto.contexts.processing.equipment import Equipment, Heard, Keeping, Progressed
from stretto.contexts.processing.model import CancelToken, PlanReport, Share, SharedOut, Shares
from stretto.contexts.processing.progress import ProgressTracker

if TYPE_CHECKING:
    from stretto.contexts.processing.parts import Reels
    from stretto.contexts.processing.ports import Engine, TranscriptStore

logger = logging.getLogger(__name__)

LARGE_BYTES: Final = 500_000_000
"""To hash more takes longer than half of what it takes to load a model. What is smaller may be
known, and then no model has to be loaded at all."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ProcessingService(Equipment):
    """Everything it needs is passed in; one service serves many files and many threads."""

    def process_file(
        self,
        path: Path,
        options: TranscriptionOptions,
        *,
        stream: int | None = None,
        again: bool = False,
        cancel: CancelToken | None = None,
        progressed: Progressed | None = None,
        heard: Heard | None = None,
        keeping: Keeping | None = None,
        shared: SharedOut | None = None,
        patient: bool = False,
    ) -> Transcript:
        """Transcribe ``path``, or return what was kept for the same file, engine and options.

        ``again`` transcribes even what is known as a whole. ``heard`` is given all segments of the
        transcript, the first ones long before the last are recognised; what it raises ends the
        work. ``keeping`` may keep the transcript together with something else, or refuse to by
        raising. A file that was ``shared`` out is cut in the same way, and what was given up is
        not tried again. Raises UnusableMedia, Unavailable, Cancelled, and TranscriptNotKept with
        the transcript in it; an engine's failure on a chunk makes the transcript partial instead.
        Whoever is ``patient`` and comes again gets no partial one for a failure that may pass, but
        TransientEngineFailure, when all other chunks are done.
        """
        preparing = self._prepared() if again or _is_large(path) else None
        content = self.reader.identify(path)
        asked = self._request(content, stream, options)
        known = None if again else self.transcripts.find(asked)
        if known is not None:
            return self._recall(known, path, progressed, heard)
        preparing = preparing or self._prepared()
        file = self.reader.probe(content, stream=stream)
        known = None if again else self._known_otherwise(file, asked)
        if known is not None:
            return self._recall(known, path, progressed, heard)
        from stretto.contexts.processing.run import Run

        if shared is not None and shared.file != content.file_hash:
            shared = None  # it was changed since, and nothing that was done is of use
        stop = cancel or CancelToken()
        run = Run(self, file, options, stop, progressed, heard, shared, patient=patient)
        transcript = run.transcribe()

        def keep() -> None:
            self.transcripts.keep(asked, transcript, file=file)

        try:
            keeping(transcript, keep) if keeping else keep()
        except Unavailable as cause:
            raise TranscriptNotKept(cause.message, transcript) from cause
        run.completed(transcript)
        return transcript

    def plan_file(
        self, path: Path, options: TranscriptionOptions, *, stream: int | None = None
    ) -> PlanReport:
        """What ``process_file`` would do: decodes the file, transcribes nothing."""
        from stretto.contexts.processing.run import plan

        return plan(self, self.reader.probe(self.reader.identify(path), stream=stream), options)

    def _prepared(self) -> Thread:
        """What will be needed gets ready, side by side with what comes before it: the decoder,
        the engine, and the tables of a new library."""
        self.reader.prepare()

        def prepare() -> None:
            needed: Engine | TranscriptStore
            for needed in (self.engine, self.transcripts):
                try:
                    needed.prepare()
                except Exception as failure:
                    logger.debug("Not ready yet, and it will say why: %s", failure)

        thread = Thread(target=prepare, name="prepare")
        thread.start()
        return thread

    def share_out(
        self, path: Path, options: TranscriptionOptions, *, cancel: CancelToken
    ) -> Shares | None:
        """The chunks of a long file for many workers; None where one worker does as well, and
        where the transcript is known. Raises what ``process_file`` raises."""
        content = self.reader.identify(path)
        asked = self._request(content, None, options)
        if self.transcripts.find(asked) is not None:
            return None
        file = self.reader.probe(content)
        if not self.strategy(file).shared or self._known_otherwise(file, asked) is not None:
            return None
        from stretto.contexts.processing.parts import share_out

        return share_out(self, file, options, cancel)

    def process_share(
        self,
        path: Path,
        share: Share,
        shared: SharedOut,
        *,
        reels: Reels,
        state: object,
        cancel: CancelToken,
        progressed: Progressed | None = None,
    ) -> None:
        """One chunk of a file that was shared out: its answer is in the cache afterwards. Does
        nothing when the file is another one by now: whoever puts it together sees that, too.

        ``state`` is another one when the file was changed. Raises what ``process_file`` raises,
        and EngineFailure.
        """
        from stretto.contexts.processing.parts import chunks_of, process_chunk

        chunk = reels.chunk(
            (path, state, shared.size),
            share.number,
            lambda: chunks_of(self, path, shared),
            cancel=cancel,
        )
        if chunk is not None:
            process_chunk(self, chunk, share.options, cancel=cancel, progressed=progressed)

    def _request(
        self, content: FileIdentity, stream: int | None, options: TranscriptionOptions
    ) -> TranscriptRequest:
        return TranscriptRequest(
            file_hash=content.file_hash,
            stream_index=stream,
            engine=self.engine.identity,
            options=options,
            scope=options.scope,
        )

    def _known_otherwise(self, file: AudioFile, asked: TranscriptRequest) -> Transcript | None:
        """The same stream may have been asked for by its number, or as the file's own choice."""
        names = {file.stream_index, *((None,) if file.own_choice else ())} - {asked.stream_index}
        found = (self.transcripts.find(replace(asked, stream_index=name)) for name in names)
        return next(filter(None, found), None)

    def _recall(
        self,
        known: Transcript,
        path: Path,
        progressed: Progressed | None,
        heard: Heard | None,
    ) -> Transcript:
        self.publish(TranscriptRecalled(at=self.clock(), transcript_id=known.id))
        ProgressTracker(known.duration_s, progressed).finish_at_once(known)
        if heard and known.segments:
            heard(known.segments)
        return _recalled(known, path)


def _is_large(path: Path) -> bool:
    """Its hash takes so long that the engine gets ready meanwhile, needed or not."""
    try:
        return path.stat().st_size >= LARGE_BYTES
    except OSError:
        return False  # whoever opens it says what is wrong


def _recalled(transcript: Transcript, path: Path) -> Transcript:
    """A kept transcript, under the name the file has now; every chunk counts as a hit."""
    chunks = transcript.cache.hits + transcript.cache.misses
    return replace(
        transcript,
        file=path.name,
        cache=CacheUse(hits=chunks, recalled_s=transcript.duration_s),
    )
