"""Requests to S3 are signed as AWS does it: the example of its own documentation."""

from __future__ import annotations

import datetime

from stretto.contexts.external.adapters.s3_bucket import Bucket
from stretto.contexts.external.adapters.s3_requests import signature

AT = datetime.datetime(2013, 5, 24, tzinfo=datetime.UTC)
EXAMPLE = Bucket(
    name="examplebucket",
    access_key="AKIAIOSFODNN7EXAMPLE",
    secret_key="wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY",
)


def signed(bucket: Bucket) -> dict[str, str]:
    url = "https://examplebucket.s3.amazonaws.com/"
    return signature(bucket, method="GET", url=url, query="lifecycle=", body=b"", at=AT)


def test_the_signature_is_that_of_the_example() -> None:
    expected = "fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543"
    assert signed(EXAMPLE)["Authorization"].endswith(f"Signature={expected}")


def test_the_secret_is_nowhere_in_what_is_sent() -> None:
    assert EXAMPLE.secret_key not in repr(signed(EXAMPLE))
    assert EXAMPLE.secret_key not in repr(EXAMPLE)


def test_a_session_is_part_of_what_is_signed() -> None:
    headers = signed(Bucket(name="b", access_key="a", secret_key="s", session_token="of-an-hour"))
    assert headers["x-amz-security-token"] == "of-an-hour"
    assert "x-amz-security-token" in headers["Authorization"]
