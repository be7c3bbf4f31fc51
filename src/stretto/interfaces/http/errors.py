"""Every error as an answer: its status, and the body that OpenAI's clients understand."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, Final

from starlette.responses import JSONResponse

from stretto.contexts.core import errors as core

_CAPITAL: Final = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")
RETRY_SOON_S: Final = 5


class HttpError(core.StrettoError):
    """Something is wrong with the request as HTTP, and not with what it asks for."""

    def __init__(
        self, status: int, message: str, *, code: str, param: str | None = None, **headers: str
    ) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.param = param
        self.headers = {name.replace("_", "-"): value for name, value in headers.items()}


@dataclass(frozen=True, slots=True)
class _Rule:
    """``kind`` is the ``type`` of the body; ``retry`` answers what OpenAI's client asks for."""

    status: int
    kind: str = "invalid_request_error"
    retry: bool | None = None


_RULES: Final[dict[type[core.StrettoError], _Rule]] = {
    core.AccessKeyRefused: _Rule(401, "authentication_error"),
    core.AccessDenied: _Rule(403, "permission_error"),
    core.UnknownJob: _Rule(404),
    core.UnknownTranscript: _Rule(404),
    core.UnknownAsset: _Rule(404),
    core.UnknownUpload: _Rule(404),
    core.UnknownModel: _Rule(404),
    core.KeyReused: _Rule(409, retry=False),
    core.JobNotInState: _Rule(409, retry=False),
    core.InvalidRequest: _Rule(400),
    core.MediaTooLarge: _Rule(413, retry=False),
    core.UnusableMedia: _Rule(400),
    core.StorageFull: _Rule(507, "server_error", retry=False),
    core.EngineUnavailable: _Rule(503, "server_error", retry=False),
    core.Unavailable: _Rule(503, "server_error", retry=True),
    core.TransientEngineFailure: _Rule(503, "server_error", retry=True),
    core.EngineFailure: _Rule(500, "server_error", retry=False),
    core.JobUnreadable: _Rule(500, "server_error", retry=False),
    core.Cancelled: _Rule(409, retry=False),
    core.StrettoError: _Rule(500, "server_error", retry=False),
}
"""By the nearest class of the tree."""

_CODES: Final[dict[type[core.StrettoError], str]] = {
    core.MediaTooLarge: "request_too_large",
    core.UnknownModel: "model_not_found",
    core.AccessKeyRefused: "invalid_api_key",
}


def answer(error: core.StrettoError, *, request_id: str) -> JSONResponse:
    """The error for whoever asked."""
    status, kind, code, param, headers = _described(error)
    message = error.message.replace("\n", " ")
    body = {"error": {"message": message, "type": kind, "param": param, "code": code}}
    return JSONResponse(body, status_code=status, headers={**headers, "x-request-id": request_id})


def unexpected(*, request_id: str) -> JSONResponse:
    """A bug of ours: what it was stands in the log, under the id of the request."""
    message = f"Something went wrong here, not with the request. Its id is {request_id}."
    body = {"message": message, "type": "server_error", "param": None, "code": "internal_error"}
    headers = {"x-request-id": request_id, "x-should-retry": "false"}
    return JSONResponse({"error": body}, status_code=500, headers=headers)


def _described(
    error: core.StrettoError,
) -> tuple[int, str, str | None, str | None, dict[str, Any]]:
    if isinstance(error, HttpError):
        kind = "server_error" if error.status >= 500 else "invalid_request_error"
        return error.status, kind, error.code, error.param, dict(error.headers)
    rule = next(_RULES[one] for one in type(error).__mro__ if one in _RULES)
    code = _CODES.get(type(error)) or _CAPITAL.sub("_", type(error).__name__).lower()
    headers = {}
    if rule.retry is not None:
        headers["x-should-retry"] = "true" if rule.retry else "false"
    if rule.retry:
        headers["retry-after"] = str(RETRY_SOON_S)
    if rule.status == 401:
        headers["www-authenticate"] = "Bearer"
    return rule.status, rule.kind, code, None, headers
