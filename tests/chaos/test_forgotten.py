"""A connection that the network has forgotten: nothing comes any more, and nobody is told. Whoever
has one to PostgreSQL notices all the same."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile

import pytest

from tests.chaos.fleet import HOUSE
from tests.chaos.links import unix_link
from tests.chaos.score import noted, remarked
from tests.chaos.terms import TIMES
from tests.servers import Server

pytestmark = [
    pytest.mark.timeout(240),
    pytest.mark.skipif(TIMES < 10, reason="waits for half a minute; make chaos runs it"),
]
NOTICED_S, BUSY_MACHINE_S = 25.0, 20.0
APART = ("unshare", "--user", "--map-root-user", "--net")
WIRE = "ip link add wire0 type veth peer name wire1 && tc qdisc add dev wire0 root pfifo limit 0"


def test_a_connection_that_the_network_has_forgotten_is_noticed_within_25_s(
    server: Server, postgres_template: str
) -> None:
    skip_unless_there_can_be_two_machines()
    listens = ".s.PGSQL.5432"
    if server.folder is None:
        pytest.skip("a server that is not ours may be elsewhere")
    with (
        server.database(template=postgres_template) as address,
        tempfile.TemporaryDirectory(prefix="stretto-link-") as folder,
        unix_link(f"{folder}/{listens}", f"{server.folder}/{listens}"),
    ):
        there = (f"{folder}/{listens}", address.user, address.database)
        done = subprocess.run(
            [*APART, sys.executable, "-m", "tests.chaos.forgotten", *there],
            cwd=HOUSE,
            env={**os.environ, "PYTHONPATH": f"{HOUSE}:{HOUSE / 'src'}"},
            stdout=subprocess.PIPE,
            text=True,
            timeout=180,
            check=True,
        )
    noticed_s: dict[str, float] = json.loads(done.stdout)
    noted(faults=1)
    remarked(
        "a forgotten connection to PostgreSQL: noticed by "
        + " and ".join(f"who is {what} after {s:.1f} s" for what, s in noticed_s.items())
    )
    assert set(noticed_s) == {"asking", "waiting"}
    assert max(noticed_s.values()) < NOTICED_S + BUSY_MACHINE_S


def skip_unless_there_can_be_two_machines() -> None:
    if any(shutil.which(program) is None for program in (APART[0], "ip", "tc")):
        pytest.skip("unshare, ip or tc is not installed: apt install util-linux iproute2")
    tried = [*APART, "sh", "-c", WIRE]
    if subprocess.run(tried, capture_output=True, check=False).returncode:
        pytest.skip("who is not root may not have a network of their own here")
