"""The settings of the CDN lead to the right store, and never show a key."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import pytest

from stretto.bootstrap import cdn
from stretto.bootstrap.cdn import build_edge, credentials_of
from stretto.contexts.core.errors import InvalidOption
from stretto.contexts.external.adapters.cdn_folder import FolderStore
from stretto.settings import Settings, load_settings

SECRET = "top-secret-0123456789"


def settings(tmp_path: Path, **fields: Any) -> Settings:
    return Settings(home=tmp_path, **fields)


def test_without_an_address_the_origin_is_the_store(tmp_path: Path) -> None:
    assert build_edge(settings(tmp_path)) is None
    assert build_edge(settings(tmp_path, cdn_url=str(tmp_path / "cdn"))) is None


def test_a_folder_is_a_store(tmp_path: Path) -> None:
    edge = build_edge(settings(tmp_path, cdn_url=str(tmp_path / "www")))
    assert isinstance(edge, FolderStore)
    assert edge.name == str(tmp_path / "www")


def test_a_bucket_has_a_name_a_prefix_and_a_server(tmp_path: Path) -> None:
    given = {"cdn_url": "s3://talks/of/2026/", "cdn_endpoint": "https://s3.example.org/"}
    edge = build_edge(settings(tmp_path, cdn_access_key="a", cdn_secret_key=SECRET, **given))
    assert edge is not None
    assert edge.name == "s3://talks/of/2026 at https://s3.example.org"
    assert SECRET not in f"{edge!r} {vars(edge)}"


def test_without_its_package_a_bucket_is_refused_with_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cdn.util, "find_spec", lambda _: None)
    with pytest.raises(InvalidOption, match=r"pip install 'stretto\[cdn\]'"):
        build_edge(settings(tmp_path, cdn_url="s3://talks"))


@pytest.mark.parametrize(
    "url",
    ["s3://", "s3://UPPER", "s3://b/../x?y", "https://x", "gs://talks", "s3://a b", "s3://u:p@h"],
)
def test_what_is_no_store_is_refused(tmp_path: Path, url: str) -> None:
    with pytest.raises(InvalidOption, match="STRETTO_CDN_URL must be"):
        settings(tmp_path, cdn_url=url)


@pytest.mark.parametrize(
    "url", ["ftp://x", "https://", "https://user:pass@host", "https://h/x y", "https://h?a=b"]
)
def test_what_is_no_address_is_refused(tmp_path: Path, url: str) -> None:
    for name in ("cdn_endpoint", "cdn_public_url"):
        with pytest.raises(InvalidOption, match="must be empty or https://"):
            settings(tmp_path, **{name: url})


def test_keys_are_read_from_a_file_as_aws_writes_it(tmp_path: Path) -> None:
    file = tmp_path / "credentials"
    file.write_text(
        f"[default]\naws_access_key_id = mine\naws_secret_access_key = {SECRET}%x\n"
        "aws_session_token=token\n[other]\naws_access_key_id = other\n"
    )
    given = settings(tmp_path, cdn_credentials_file=str(file))
    assert credentials_of(given) == ("mine", f"{SECRET}%x", "token")
    both = settings(
        tmp_path, cdn_credentials_file=str(file), cdn_access_key="a", cdn_secret_key="b"
    )
    assert credentials_of(both) == ("a", "b", "")


BAD_FILES = {
    "without a section": f"aws_secret_access_key = {SECRET}",
    "with another section": f"[prod]\naws_access_key_id=a\naws_secret_access_key={SECRET}",
    "without a key": f"[default]\naws_secret_access_key = {SECRET}",
    "with rubbish": f"[default]\n{SECRET}\n= x",
    "twice the same": f"[default]\nx={SECRET}\nx={SECRET}",
}


@pytest.mark.parametrize("case", BAD_FILES)
def test_a_file_that_cannot_be_understood_is_named_and_not_shown(tmp_path: Path, case: str) -> None:
    file = tmp_path / "credentials"
    file.write_text(BAD_FILES[case])
    with pytest.raises(InvalidOption, match="STRETTO_CDN_CREDENTIALS_FILE") as caught:
        credentials_of(settings(tmp_path, cdn_credentials_file=str(file)))
    assert SECRET not in f"{caught.value} {caught.value.__cause__!r} {caught.value.__context__!r}"


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    given = settings(tmp_path, cdn_credentials_file=str(tmp_path / "nowhere"))
    with pytest.raises(InvalidOption, match="cannot be read: No such file"):
        credentials_of(given)


def test_the_home_of_somebody_who_is_not_there_is_refused(tmp_path: Path) -> None:
    for wrong in ({"cdn_url": "~nobody-here/x"}, {"cdn_credentials_file": "~nobody-here/x"}):
        with pytest.raises(InvalidOption, match="must be a path"):
            build_edge(settings(tmp_path, **{"cdn_url": "s3://talks", **wrong}))


def test_half_of_the_keys_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidOption, match="Set both") as caught:
        credentials_of(settings(tmp_path, cdn_secret_key=SECRET))
    assert SECRET not in caught.value.message


def test_keys_are_in_no_rendering_of_the_settings(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    environment = {
        "STRETTO_HOME": str(tmp_path),
        "STRETTO_CDN_ACCESS_KEY": "my-access-key",
        "STRETTO_CDN_SECRET_KEY": SECRET,
    }
    with caplog.at_level(logging.DEBUG):
        loaded = load_settings(environment)
    assert "my-access-key" not in repr(loaded)
    assert SECRET not in repr(loaded) + caplog.text
    with pytest.raises(InvalidOption) as caught:
        load_settings({**environment, "STRETTO_CDN_SECRET_KEY": f"{SECRET} x"})
    assert SECRET not in caught.value.message
