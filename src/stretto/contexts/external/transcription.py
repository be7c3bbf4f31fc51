"""Asks a speech service for the text of a recording, and gives it times where it has none."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from stretto.contexts.core.audio import BYTES_PER_SAMPLE, SAMPLE_RATE_HZ, Span
from stretto.contexts.core.errors import (
    EngineFailure,
    EngineUnavailable,
    TransientEngineFailure,
)
from stretto.contexts.core.identifiers import AudioHash
from stretto.contexts.core.recognition import (
    EngineIdentity,
    Recognition,
    Task,
    TranscriptionOptions,
)
from stretto.contexts.core.transcript import Gap, GapReason
from stretto.contexts.external.gateway import NOT_LET_IN, Gateway
from stretto.contexts.external.laying import lay_sentences
from stretto.contexts.external.model import (
    MEBIBYTE,
    APIEndpoint,
    APIRequest,
    APIResponse,
    CallFailed,
)
from stretto.contexts.external.multipart import form_of
from stretto.contexts.external.parser import (
    APIResponseParser,
    ParsedAnswer,
    ResponseFormat,
    error_message,
    longest_answer_bytes,
)
from stretto.contexts.external.ports import Cancellation, SpeechEncoder

REVISION: Final = "1"
"""Counts changes of what is made of an answer; it is part of the cache key."""

PATHS: Final = {
    Task.TRANSCRIBE: "/audio/transcriptions",
    Task.TRANSLATE: "/audio/translations",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceDescription:
    """A speech service and what it takes: bytes of a whole body, seconds of audio (None: any
    number). ``name`` is the engine's; ``key`` is shown nowhere."""

    name: str
    title: str
    endpoint: APIEndpoint
    model: str
    answers: ResponseFormat
    key: str = field(default="", repr=False)
    maximum_bytes: int = 25 * MEBIBYTE
    maximum_s: float | None = None
    concurrency: int = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class RemoteTranscription:
    """Safe to call from many threads at once."""

    service: ServiceDescription
    gateway: Gateway
    encoder: SpeechEncoder
    new_boundary: Callable[[], str] = field(default=lambda: secrets.token_hex(16))

    @property
    def identity(self) -> EngineIdentity:
        """A service does not tell when its model changes: its address and name have to do."""
        return EngineIdentity(
            engine=self.service.name,
            engine_version=REVISION,
            model=self.service.model,
            model_revision=self.service.endpoint.url,
            settings=self.service.answers,
        )

    @property
    def maximum_bytes(self) -> int:
        return self.service.maximum_bytes

    @property
    def maximum_s(self) -> float | None:
        return self.service.maximum_s

    @property
    def concurrency(self) -> int:
        return self.service.concurrency

    def transcribe(
        self,
        samples: memoryview,
        options: TranscriptionOptions,
        *,
        audio: AudioHash,
        speech: Sequence[Span],
        cancel: Cancellation,
        tenant: str = "",
        recording: str = "",
    ) -> Recognition:
        """``samples`` are 16-bit, 16 kHz, one channel; ``audio`` is their hash, ``speech`` lies in
        them. Raises what ``Gateway.call`` does, and EngineFailure for a recording that is too large
        to be sent."""
        # Hands are shaken while the audio is being packed.
        self.gateway.transport.warm_up(self.service.endpoint, timeouts=self.gateway.timeouts)
        pcm = samples.cast("B")
        duration_s = _seconds_of(pcm)
        parser = APIResponseParser(self.service.answers)

        def read(response: APIResponse) -> ParsedAnswer:
            return parser.parse(response, duration_s=duration_s)

        request = self._request(pcm, audio, options)
        answer = self.gateway.call(
            request,
            read=read,
            audio_s=duration_s,
            cancel=cancel,
            tenant=tenant,
            recording=recording,
        )
        return self._recognition(answer, options, speech)

    def look(self, *, cancel: Cancellation, timeout_s: float = 5.0) -> str:
        """Asks the service for its models, which costs nothing: a sentence on how that went.

        Raises EngineUnavailable when it does not let us in, TransientEngineFailure when it cannot
        be reached.
        """
        request = APIRequest(
            endpoint=self.service.endpoint,
            method="GET",
            path=self.service.endpoint.path("/models"),
            headers=(("accept", "application/json"), *self._authorization()),
        )
        until = self.gateway.clock() + timeout_s
        try:
            response = self.gateway.transport.send(
                request, timeouts=self.gateway.timeouts, until=until, cancel=cancel
            )
        except CallFailed as failure:
            raise TransientEngineFailure(f"{failure}") from failure
        place = f"{self.service.endpoint.authority} over {response.protocol}"
        if response.status in NOT_LET_IN:
            said = error_message(replace(response, body=request.without_key(response.body)))
            raise EngineUnavailable(f"{place} does not accept the key ({response.status}): {said}")
        if response.status == 200:
            return f"{place}, and the key is accepted" if self.service.key else place
        return f"{place}; it does not list its models ({response.status})"

    def _authorization(self) -> tuple[tuple[str, str], ...]:
        key = self.service.key
        return (("authorization", f"Bearer {key}"),) if key else ()

    def _request(
        self, pcm: memoryview, audio: AudioHash, options: TranscriptionOptions
    ) -> APIRequest:
        content_type, body = form_of(
            self._fields(options), self.encoder.encode(pcm), boundary=self.new_boundary()
        )
        headers = [
            ("accept", "application/json, text/plain"),
            ("content-type", content_type),
            ("idempotency-key", self._key_of(audio, options)),
            ("user-agent", "stretto"),
            *self._authorization(),
        ]
        request = APIRequest(
            endpoint=self.service.endpoint,
            method="POST",
            path=self.service.endpoint.path(PATHS[options.task]),
            headers=tuple(headers),
            body=body,
            longest_answer_bytes=longest_answer_bytes(_seconds_of(pcm)),
        )
        if request.size_bytes > self.service.maximum_bytes:
            raise EngineFailure(
                f"{self.service.title} takes {self.service.maximum_bytes} bytes at a time, and a "
                f"piece has {request.size_bytes}."
            )
        return request

    def _fields(self, options: TranscriptionOptions) -> list[tuple[str, str]]:
        fields = [
            ("model", self.service.model),
            ("response_format", str(self.service.answers)),
            ("temperature", "0"),
        ]
        if options.language and options.task is Task.TRANSCRIBE:
            fields.append(("language", options.language.code))
        if options.prompt:
            fields.append(("prompt", options.prompt))
        if self.service.answers is ResponseFormat.VERBOSE_JSON:
            fields += [("timestamp_granularities[]", one) for one in ("segment", "word")]
        return fields

    def _key_of(self, audio: AudioHash, options: TranscriptionOptions) -> str:
        """The same for every attempt at the same audio with the same wishes, in any process."""
        return hashlib.sha256(repr((audio, self.identity, options)).encode()).hexdigest()

    def _recognition(
        self, answer: ParsedAnswer, options: TranscriptionOptions, speech: Sequence[Span]
    ) -> Recognition:
        segments = answer.segments or lay_sentences(answer.text, speech)
        speech_s = sum(span.duration_s for span in speech)
        language = answer.language or options.language
        if segments:
            return Recognition(
                segments=segments, language=language, speech_s=speech_s, transcribed_s=speech_s
            )
        return Recognition(language=language, speech_s=speech_s, gaps=_nothing_in(speech))


def _seconds_of(pcm: memoryview) -> float:
    return len(pcm) / BYTES_PER_SAMPLE / SAMPLE_RATE_HZ


def _nothing_in(speech: Sequence[Span]) -> tuple[Gap, ...]:
    if not speech:
        return ()
    return (
        Gap(
            start=speech[0].start_s,
            end=speech[-1].end_s,
            reason=GapReason.NOTHING_RECOGNISED,
        ),
    )
