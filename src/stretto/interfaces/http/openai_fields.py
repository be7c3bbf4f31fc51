"""What a request to OpenAI's audio API asks for: its fields, in every way in which clients write
them."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Final

from stretto.interfaces.http.errors import HttpError
from stretto.interfaces.http.forms import Form

FORMATS: Final = ("json", "text", "srt", "vtt", "verbose_json", "diarized_json")
TRANSLATION_FORMATS: Final = FORMATS[:-1]
GRANULARITIES: Final = ("segment", "word")
TRUTH: Final = {"true": True, "1": True, "false": False, "0": False}
CHUNKING: Final = {
    "type": None,
    "threshold": (0.0, 1.0),
    "silence_duration_ms": (0.0, 60_000.0),
    "prefix_padding_ms": (0.0, 60_000.0),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """A checked request."""

    model: str
    language: str
    prompt: str
    response_format: str
    words: bool
    segments: bool
    stream: bool
    logprobs: bool


def asked_of(form: Form, *, translation: bool) -> Asked:
    """Raises HttpError (400) that names the field, as OpenAI does."""
    _refuse_speakers(form)
    _check_temperature(form)
    _check_chunking(form)
    formats = TRANSLATION_FORMATS if translation else FORMATS
    response_format = form.last("response_format") or "json"
    if response_format not in formats:
        raise wrong("response_format", f"one of {', '.join(formats)}", response_format)
    granularities = form.all("timestamp_granularities[]", "timestamp_granularities")
    for one in granularities:
        if one not in GRANULARITIES:
            raise wrong("timestamp_granularities", "word or segment", one)
    include = form.all("include[]", "include")
    for one in include:
        if one != "logprobs":
            raise wrong("include", "logprobs", one)
    model = form.last("model")
    if not model:
        raise HttpError(400, "You must provide a model.", code="missing_field", param="model")
    return Asked(
        model=model,
        language="" if translation else _language(form),
        prompt=_prompt(form),
        response_format=response_format,
        words="word" in granularities,
        segments="segment" in granularities or not granularities,
        stream=not translation and _truth(form, "stream"),
        logprobs="logprobs" in include,
    )


def wrong(param: str, allowed: str, value: str) -> HttpError:
    said = f"{param} is {allowed}, not {value[:64]!r}."
    return HttpError(400, said, code="invalid_value", param=param)


def _language(form: Form) -> str:
    """One that is given, or the only candidate; of several the engine finds out which."""
    candidates = form.all("languages[]", "languages")
    return form.last("language") or (candidates[0] if len(candidates) == 1 else "")


def _prompt(form: Form) -> str:
    keywords = ", ".join(form.all("keywords[]", "keywords"))
    return " ".join(part for part in (form.last("prompt") or "", keywords) if part)


def _truth(form: Form, name: str) -> bool:
    text = (form.last(name) or "false").lower()
    if text not in TRUTH:
        raise wrong(name, "true or false", text)
    return TRUTH[text]


def _check_temperature(form: Form) -> None:
    text = form.last("temperature")
    if text is not None and not _is_within(text, 0.0, 1.0):
        raise wrong("temperature", "a number from 0 to 1", text)


def _is_within(text: object, lowest: float, highest: float) -> bool:
    try:
        return lowest <= float(str(text)) <= highest
    except ValueError:
        return False


def _check_chunking(form: Form) -> None:
    """``auto``, an object in brackets, or one written as JSON."""
    name = "chunking_strategy"
    text = form.last(name)
    fields: dict[str, object] = {
        key: form.last(f"{name}[{key}]") for key in CHUNKING if f"{name}[{key}]" in form.fields
    }
    if text is not None and text not in {"auto", "null"}:
        try:
            document = json.loads(text)
        except (ValueError, RecursionError):
            document = None
        if not isinstance(document, dict):
            raise wrong(name, 'auto or an object of the type "server_vad"', text)
        fields |= document
    if fields and fields.get("type") != "server_vad":
        raise wrong(f"{name}[type]", "server_vad", str(fields.get("type")))
    for key, value in fields.items():
        limits = CHUNKING.get(key, ())
        if limits == () or (limits and not _is_within(value, *limits)):
            raise wrong(f"{name}[{key[:32]}]", "as OpenAI describes it", str(value))


def _refuse_speakers(form: Form) -> None:
    if form.all("known_speaker_names[]", "known_speaker_references[]"):
        raise HttpError(
            400,
            "This server does not tell speakers apart, so that it cannot recognise known ones.",
            code="unsupported_parameter",
            param="known_speaker_names",
        )
