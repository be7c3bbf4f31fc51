"""The documents about health, models, workers and the cache as schemas."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator
from pydantic.json_schema import SkipJsonSchema

from stretto.interfaces.http.schemas import Moment, Priority, Sha256

Word = Annotated[str, Field(min_length=1, max_length=200)]


class Part(BaseModel):
    """Whether a part of the program works."""

    ok: bool
    detail: str


class Ready(BaseModel):
    """Whether requests can be answered."""

    status: Literal["ready", "degraded", "unavailable"]
    parts: dict[str, Part]


class Health(BaseModel):
    """That the process is alive."""

    status: Literal["ok"]


class Model(BaseModel):
    """A model that a job may name; its size is known of those that lie on this machine."""

    name: str = Field(examples=["tiny.en"])
    default: bool
    size_bytes: int | None


class Models(BaseModel):
    """The one that is used when none is named is the default."""

    models: list[Model]


class Format(BaseModel):
    """A format of exports."""

    name: str = Field(examples=["srt"])
    suffix: str = Field(examples=[".srt"])
    media_type: str = Field(examples=["application/x-subrip"])


class Formats(BaseModel):
    """All of them."""

    formats: list[Format]


class Language(BaseModel):
    """A language that a job may name."""

    code: str = Field(examples=["ru"])
    name: str = Field(examples=["Russian"])


class Languages(BaseModel):
    """All of them."""

    languages: list[Language]


class Worker(BaseModel):
    """A process that works on jobs, and how many of them it works on."""

    id: str
    host: str
    pid: int
    concurrency: int
    queues: list[Priority]
    started_at: Moment
    state: str = Field(examples=["working"])
    running: int


class Workers(BaseModel):
    """Those that are alive, the oldest first."""

    workers: list[Worker]


class CacheLevel(BaseModel):
    """What one level of the cache has, and how often it helped."""

    level: str = Field(examples=["L1"])
    entries: int | None
    size_bytes: int | None
    working: bool
    trouble: str
    asked: int
    hits: int
    hit_rate: float | None


class Cache(BaseModel):
    """The cache; ``saved_s`` is what did not have to be computed, in seconds by engine."""

    levels: list[CacheLevel]
    lookups: int
    hits: int
    hit_rate: float | None
    saved_s: dict[str, float]


class Invalidation(BaseModel):
    """Which cached answers are to be forgotten."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"minProperties": 1})
    source: Sha256 | SkipJsonSchema[None] = None
    engine: Word | SkipJsonSchema[None] = None
    model: Word | SkipJsonSchema[None] = None
    tag: Word | SkipJsonSchema[None] = None
    everything: Literal[True] | SkipJsonSchema[None] = None

    @model_validator(mode="after")
    def _something(self) -> Self:
        if not self.model_fields_set or not any(self.model_dump().values()):
            raise ValueError("say what is to go: source, engine, model, tag, or everything")
        return self


class Invalidated(BaseModel):
    """How many entries were deleted, by level."""

    removed: dict[str, int]
