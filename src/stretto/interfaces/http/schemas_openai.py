"""The documents of OpenAI's audio API as schemas."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field
from pydantic.json_schema import SkipJsonSchema

Seconds = Annotated[float, Field(ge=0)]


class OpenAIModel(BaseModel):
    """A model as OpenAI's clients read it."""

    id: str = Field(examples=["whisper-1"])
    object: Literal["model"]
    created: int
    owned_by: str


class OpenAIModels(BaseModel):
    """Those that a request may name."""

    object: Literal["list"]
    data: list[OpenAIModel]


class OpenAISegment(BaseModel):
    """A piece of the text; that of ``diarized_json`` has a ``speaker``, others what the engine
    says of it."""

    model_config = ConfigDict(extra="allow")
    id: int | str
    start: Seconds
    end: Seconds
    text: str


class OpenAIWord(BaseModel):
    """One word, when ``timestamp_granularities[]`` asks for them."""

    word: str
    start: Seconds
    end: Seconds


class OpenAILogprob(BaseModel):
    """How sure the engine is of a word."""

    token: str
    bytes: list[int]
    logprob: Annotated[float, Field(le=0)]


class OpenAIUsage(BaseModel):
    """How much was heard."""

    type: Literal["duration"]
    seconds: Seconds


class OpenAITranscription(BaseModel):
    """``text`` is always there; the format that was asked for says what else is."""

    text: str = Field(examples=["It was the best of times, it was the worst of times."])
    task: Literal["transcribe", "translate"] | SkipJsonSchema[None] = None
    language: str | None = Field(default=None, examples=["english"])
    duration: Seconds | SkipJsonSchema[None] = None
    segments: list[OpenAISegment] | SkipJsonSchema[None] = None
    words: list[OpenAIWord] | SkipJsonSchema[None] = None
    logprobs: list[OpenAILogprob] | SkipJsonSchema[None] = None
    usage: OpenAIUsage | SkipJsonSchema[None] = None
    warnings: list[str] | SkipJsonSchema[None] = None
