"""The documents of the API as schemas: what OpenAPI says of them, and what bodies have to be."""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal

from fastapi import Path
from pydantic import BaseModel, ConfigDict, Field

from stretto.contexts.core.languages import ENGLISH_NAMES

AN_ID: Final = "0b7e3f0a-5d0f-4c5a-9b61-6f8f4e1f3a52"
Id = Annotated[str, Field(examples=[AN_ID])]
UUID: Final = "^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$"
URL: Final = r"^https?://[!-?A-\[\]-~]+$"
"""ASCII without spaces, ``@`` and backslashes: what the address guard lets through."""
PathId = Annotated[str, Path(pattern=UUID, examples=[AN_ID])]
CODES: Final = ["", *ENGLISH_NAMES]
Spoken = Annotated[
    str,
    Field(
        max_length=32,
        description="Its code (ISO 639-1), or its name in English; empty: find out.",
        json_schema_extra={"enum": CODES, "maxLength": None},
    ),
]
Moment = Annotated[float, Field(description="Unix time in seconds.", examples=[1764036000.25])]
Seconds = Annotated[float, Field(examples=[44.374])]
Sha256 = Annotated[str, Field(pattern="^[0-9a-f]{64}$")]
Status = Literal["queued", "processing", "completed", "failed", "cancelled"]
Priority = Literal["high", "medium", "low"]


class ErrorBody(BaseModel):
    """What went wrong."""

    message: str = Field(examples=["There is no job 0b7e3f0a-5d0f-4c5a-9b61-6f8f4e1f3a52."])
    type: str = Field(examples=["invalid_request_error"])
    param: str | None = None
    code: str | None = Field(default=None, examples=["unknown_job"])


class Error(BaseModel):
    """As OpenAI's clients read it."""

    error: ErrorBody


class Session(BaseModel):
    """Who somebody is here."""

    owner: str
    scopes: list[str]
    key_required: bool
    authenticated: bool
    version: str


class SessionRequest(BaseModel):
    """A key, to be put into a cookie."""

    model_config = ConfigDict(extra="forbid")
    key: str = Field(min_length=1, max_length=200)


class Progress(BaseModel):
    """How far a job is, by seconds of audio."""

    fraction: float = Field(ge=0, le=1)
    done_s: float
    total_s: float | None
    chunks_done: int
    chunks_known: int


class JobTrouble(BaseModel):
    """The last thing that went wrong."""

    kind: str = Field(examples=["NoAudioStream"])
    message: str


class Job(BaseModel):
    """One recording to be transcribed, and how far it is."""

    id: Id
    file: str = Field(examples=["talk.mp3"])
    status: Status
    priority: Priority
    progress: Progress
    attempts: int
    errors: int
    outages: int
    crashes: int
    transcript_id: str | None
    error: JobTrouble | None
    cause: Literal["refused", "errors", "crashes"] | None
    cancelling: bool
    language: str | None
    task: Literal["transcribe", "translate"]
    engine: str
    model: str
    owner: str
    created_at: Moment
    updated_at: Moment
    run_at: Moment


class DeadLetter(Job):
    """A job that was given up, with where the error came from."""

    trace: str


class Jobs(BaseModel):
    """A page of jobs; ``next`` is the ``after`` of the following."""

    jobs: list[Job]
    next: str | None


class JobRequest(BaseModel):
    """A job for a recording that is here, by its hash or the id of its upload, or for one that is
    fetched from its URL."""

    model_config = ConfigDict(extra="forbid")
    file_hash: Sha256 | None = None
    upload: Annotated[str, Field(pattern=UUID)] | None = None
    url: Annotated[str, Field(max_length=2048, pattern=URL)] | None = None
    language: Spoken = ""
    prompt: str = Field(default="", max_length=1024)
    priority: Priority = "medium"
    task: Literal["transcribe", "translate"] = "transcribe"
    model: str = Field(default="", max_length=200)


class Summary(BaseModel):
    """A transcript without its text."""

    id: Id
    file: str
    file_hash: Sha256
    version: int
    language: str | None
    status: Literal["complete", "partial"]
    duration_s: Seconds
    engine: str
    model: str
    owner: str
    created_at: Moment


class Transcripts(BaseModel):
    """A page of transcripts."""

    transcripts: list[Summary]
    next: str | None


class Version(BaseModel):
    """One of the transcripts of the same recording."""

    id: Id
    version: int
    created_at: Moment


class Transcript(Summary):
    """A transcript with its text, its versions, and whether its recording is here."""

    versions: list[Version]
    audio: bool
    transcript: dict[str, Any]


class Edit(BaseModel):
    """The new text of a segment; an empty one removes it."""

    model_config = ConfigDict(extra="forbid")
    index: int = Field(ge=0)
    text: str = Field(max_length=20_000)


class Edits(BaseModel):
    """What is to be changed in a transcript."""

    model_config = ConfigDict(extra="forbid")
    segments: list[Edit] = Field(min_length=1, max_length=10_000)


class Hit(BaseModel):
    """A segment with the words that were sought."""

    id: Id
    file: str
    version: int
    language: str | None
    created_at: Moment
    start: float
    end: float
    at: float
    text: str
    matches: list[list[int]]
    score: float


class Hits(BaseModel):
    """The best first."""

    hits: list[Hit]


class Peaks(BaseModel):
    """How loud a recording is, for drawing."""

    duration_s: Seconds
    peaks: list[float]


class Upload(BaseModel):
    """How much of a recording has come."""

    id: Id
    file: str
    offset: int
    length: int
    file_hash: Sha256 | None


class Silence(BaseModel):
    """How long nobody is to be told."""

    model_config = ConfigDict(extra="forbid")
    seconds: Annotated[float, Field(ge=0, le=30 * 86_400)]


_REFUSALS: Final = {
    400: "The request or the recording is at fault.",
    401: "No key, or a wrong one.",
    403: "A key without the scope, or a page of another origin.",
    404: "There is no such thing, or it is somebody else's.",
    409: "Not possible in the state that the thing is in.",
    413: "The body is larger than is allowed.",
    415: "The body has another type than is expected.",
    422: "A field has a wrong value.",
    429: "Too many requests.",
    503: "Just now it cannot be done.",
    507: "The disk is full.",
}
REFUSALS: Final[dict[int | str, dict[str, Any]]] = {
    status: {"model": Error, "description": text} for status, text in _REFUSALS.items()
}


def answers(model: type[BaseModel], status: int = 200) -> dict[int | str, dict[str, Any]]:
    """What a route may answer: a document, or one of the refusals."""
    return {status: {"model": model}, **REFUSALS}
