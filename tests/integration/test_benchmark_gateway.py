"""The benchmark of the gateway works, and finds in small what it is meant to find in large."""

from __future__ import annotations

from benchmarks import gateway


def test_four_chunks_share_a_connection_and_take_little_longer_than_one() -> None:
    figures = {figure.what: figure for figure in gateway.measured(gateway.QUICK)}
    assert figures["connections"].value == 1
    assert figures["handshakes besides the first"].value == 0
    assert figures["4 MB, one by one / at once"].value > 2.0
    assert set(figures) >= {
        "openai SDK in a loop / at once",
        "from the first start to the fourth",
        "memory above idle, wav",
        "memory above idle, flac",
        "gateway above the bare client, a chunk",
    }
