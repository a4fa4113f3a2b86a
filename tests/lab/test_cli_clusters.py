"""The options that choose a cluster, as users meet them: what is wrong is one line, with its exit code."""

from __future__ import annotations

import json
import threading
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from faults.plan import Down, at
from lab.clusters.base import Cluster
from lab.clusters.postgres import PostgresServer
from lab.errors import NotCapable
from lab.scenarios import SCENARIOS
from lab.suite import able
from tests.lab.test_cli import lab


@pytest.fixture
def state(root: Path) -> Path:
    """An empty state root of its own."""
    return root


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["run", "--dsn", "postgresql://a:b@c/d"], 2, "--dsn is for the cluster 'external', not for 'embedded'"),
        (["run", "--binary", "x", "--cluster", "compose"], 2, "--binary is for the cluster 'local', not for 'compose'"),
        (["run", "--toxiproxy", "x", "--cluster", "compose"], 2, "--toxiproxy is for the cluster 'embedded' and"),
        (["run", "steady", "--toxiproxy", ""], 2, "--toxiproxy: Toxiproxy '': missing port in address"),
        (["run", "--cluster", "external"], 2, "the cluster 'external' needs its addresses: --dsn postgresql://"),
        (["up", "--cluster", "compos"], 2, "unknown cluster 'compos': did you mean compose?"),
        (["run", "node-killed"], 2, "scenario 'node-killed' needs node kill, which the cluster 'embedded' does not"),
        (
            ["run", "--cluster", "local", "--binary", "nowhere"],
            4,
            "there is no file 'nowhere'; name a",
        ),
    ],
)
def test_a_wrong_choice_is_one_line(state: Path, arguments: list[str], code: int, said: str) -> None:
    done = lab(state, *arguments)

    assert (done.returncode, done.stdout) == (code, "")
    assert done.stderr.startswith("lab: ")
    assert done.stderr.count("\n") == 1
    assert said.lower() in done.stderr.lower()


def test_docker_that_does_not_answer_is_one_line(state: Path) -> None:
    done = lab(state, "run", "steady", "--cluster", "compose", DOCKER_HOST="unix:///nonexistent.sock")

    assert done.returncode == 4
    assert done.stderr.startswith("lab: ")
    assert done.stderr.count("\n") == 1


def test_a_toxiproxy_that_is_none_is_one_line(state: Path) -> None:
    with ThreadingHTTPServer(("127.0.0.1", 0), BaseHTTPRequestHandler) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        done = lab(state, "run", "steady", "--toxiproxy", f"http://127.0.0.1:{server.server_port}")
        server.shutdown()

    assert (done.returncode, done.stderr.count("\n")) == (4, 1)
    assert f"what answers at http://127.0.0.1:{server.server_port} is no Toxiproxy; name another" in done.stderr


async def test_dsns_may_come_from_the_environment_and_what_is_refused_is_told_in_json(
    state: Path, postgres: PostgresServer, tmp_path: Path
) -> None:
    dsn = f"postgresql://{postgres.user}:{postgres.password}@{postgres.host}:{postgres.port}/{postgres.database}"
    plan = tmp_path / "plan.json"
    plan.write_text('{"steps": []}')
    done = lab(state, "run", "steady", "--cluster", "external", "--json", "--plan", plan, LAB_DSN=f"{dsn} {dsn}")

    assert done.returncode == 0, done.stderr
    assert "2 addresses of your own" in json.loads(done.stdout)["run"]["about"]
    assert postgres.password not in done.stdout + done.stderr


def test_what_a_cluster_cannot_do_is_left_out_and_told_or_refused(cluster: Cluster) -> None:
    scenarios = [SCENARIOS["steady"], SCENARIOS["one-way-cut"], SCENARIOS["forced-retries"]]
    if cluster.name != "embedded":
        pytest.skip("the embedded cluster is the one that lacks all of it")

    chosen, refused = able(cluster, scenarios, skip_unable=True)

    assert [scenario.name for scenario in chosen] == ["steady"]
    assert refused == (("one-way-cut", ("leases", "node links")), ("forced-retries", ("forced retries",)))
    with pytest.raises(NotCapable, match="'one-way-cut' needs leases, node links"):
        able(cluster, scenarios, skip_unable=False)


def test_a_plan_that_names_a_node_which_is_not_there_is_refused_by_its_name(cluster: Cluster) -> None:
    ninth = replace(SCENARIOS["gateway-lost"], plan=(at(0.1, Down(on="n9"), lasting=0.1),))

    assert able(cluster, [ninth], skip_unable=True)[1] == (("gateway-lost", ("node n9",)),)
    with pytest.raises(NotCapable, match="'gateway-lost' needs node n9"):
        able(cluster, [ninth], skip_unable=False)
