"""Several workers on one socket: what is promised of one process holds for all of them together (interfaces.md 4)."""

from __future__ import annotations

import contextlib
import http.server
import json
import os
import re
import signal
import socket
import threading
import time
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Self

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from ca_world import CA, NAME, found, running
from dayfly.client.solving import StandaloneSolver
from factories import csr_der
from replies import Reply
from wire_client import Client, Wire, wires_to_each_worker
from wire_load import Load

WORKERS = 2
TRIES = 50
ROUNDS = int(os.environ.get("FINALIZE_ROUNDS", "2"))  # the row asks 200


@pytest.fixture(scope="module")
def ca(tmp_path_factory: pytest.TempPathFactory) -> Iterator[CA]:
    """A CA with two workers, for this module's tests."""
    with running(tmp_path_factory.mktemp("ca"), workers=WORKERS) as one:
        yield one


@pytest.fixture
def wires(ca: CA) -> Iterator[list[Wire]]:
    """One connection to each worker."""
    found = wires_to_each_worker(ca, workers=WORKERS)
    yield found
    for wire in found:
        wire.close()


@pytest.fixture
def client(ca: CA, wires: list[Wire]) -> Client:
    """A client with an account."""
    one = Client(ca)
    assert one.register(wires[0]).status == 201
    return one


def eventually(what: Callable[[], object], *, within: float = 20.0) -> None:
    """Wait until it holds."""
    deadline = time.monotonic() + within
    while not what():
        assert time.monotonic() < deadline, what
        time.sleep(0.05)


def at_once(
    ca: CA, path: str, bodies: Sequence[bytes], *, each: int = 4, media_type: str = "application/jose+json"
) -> list[Reply]:
    """Post the bodies over several connections to each worker, begun together; the answers."""
    wires = wires_to_each_worker(ca, workers=WORKERS, each=each)
    answers: list[Reply] = []
    barrier = threading.Barrier(len(wires))

    def run(wire: Wire, mine: Sequence[bytes]) -> None:
        barrier.wait(timeout=20)
        answers.extend([wire.send("POST", path, body, media_type=media_type) for body in mine])

    threads = [
        threading.Thread(target=run, args=(wire, bodies[place :: len(wires)])) for place, wire in enumerate(wires)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=60)
    for wire in wires:
        wire.close()
    assert len(answers) == len(bodies)
    return answers


def metrics(ca: CA) -> dict[str, float]:
    """All samples, by series."""
    with urllib.request.urlopen(f"http://127.0.0.1:{ca.metrics}/metrics", timeout=10) as answer:
        lines = answer.read().decode().splitlines()
    return {line.rpartition(" ")[0]: float(line.rpartition(" ")[2]) for line in lines if line and line[0] != "#"}


def readiness(ca: CA) -> tuple[int, dict[str, bool]]:
    """What /readyz says."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{ca.metrics}/readyz", timeout=10) as answer:
            return answer.status, json.loads(answer.read())["checks"]
    except urllib.error.HTTPError as error:
        with error:
            return error.code, json.loads(error.read())["checks"]


def children(pid: int) -> list[int]:
    """The processes that this one has begun."""
    return [int(one) for one in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def workers_of(ca: CA) -> list[int]:
    """The pids of the workers: what the supervisor has forked, the collector left out."""
    assert ca.process is not None
    commands = {pid: Path(f"/proc/{pid}/cmdline").read_bytes() for pid in children(ca.process.pid)}
    return [pid for pid, command in commands.items() if b"dayfly.wiring.workers.collector" not in command]


def lives(pid: int) -> bool:
    """Is there such a process?"""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"


def is_well(ca: CA) -> bool:
    """Does a new connection get an answer from /health?"""
    wire = Wire(ca)
    with contextlib.closing(wire.connection):
        return wire.send("GET", "/health").status == 200


def is_port_free(port: int) -> bool:
    """Can it be listened on?"""
    with socket.socket() as one:
        one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            one.bind(("127.0.0.1", port))
            one.listen()
        except OSError:
            return False
    return True


@contextlib.contextmanager
def answering(ca: CA, client: Client, token: str) -> Iterator[None]:
    """While the block runs, the challenge's answer is where it should be."""
    with StandaloneSolver("127.0.0.1", ca.http_port) as solver:
        solver.present(token, client.proof(token))
        yield


def ready_order(ca: CA, client: Client, wire: Wire, name: str = NAME) -> Reply:
    """An order whose challenge was answered and found good."""
    order = client.order(wire, name)
    assert order.status == 201, order.body
    challenge = client.challenge(wire, order)
    with answering(ca, client, challenge["token"]):
        client.post(wire, challenge["url"], {})
        client.poll(wire, order.headers["location"], lambda found: found["status"] == "ready")
    return order


# --- start, share, stop -----------------------------------------------------------------------------------------------


def test_ready_line_names_the_supervisor_and_its_workers__interfaces_4(tmp_path: Path) -> None:
    """One line, when all serve; SIGTERM ends all of them with 0 within 10 s, and nothing keeps a port or the lock."""
    ca = found(tmp_path)
    ready = ca.start("--workers", "3")
    assert ca.process is not None
    pids = children(ca.process.pid)
    assert (ready["pid"], ready["workers"], len(pids)) == (ca.process.pid, 3, 4)
    assert ca.said().count('"event":"ready"') == 1
    second = ca.dayfly("ca", "start", "--password-file", str(tmp_path / "password"), "--workers", "2", check=False)
    assert second.returncode == 1
    assert f"process {ready['pid']}" in second.stderr
    begin = time.monotonic()
    assert ca.stop(signal.SIGTERM) == 0
    assert time.monotonic() - begin < 10
    assert not any(lives(pid) for pid in pids)
    assert is_port_free(ca.port)
    assert is_port_free(ca.metrics)
    assert ca.verify()["ok"] is True


@pytest.mark.parametrize(("breaking", "says"), [("port", "cannot listen on"), ("database", "cannot be")])
def test_start_that_fails_says_why_and_leaves_nothing__interfaces_5(tmp_path: Path, breaking: str, says: str) -> None:
    """What one process finds wrong, and what only a worker can find, is exit 1 with a text, and no process stays."""
    ca = found(tmp_path)
    with socket.socket() as taken:
        if breaking == "port":
            taken.bind(("127.0.0.1", ca.metrics))
            taken.listen()
        else:
            ca.database.unlink()
            ca.database.mkdir()
        result = ca.dayfly("ca", "start", "--password-file", str(tmp_path / "password"), "--workers", "2", check=False)
    assert result.returncode == 1
    assert says in result.stderr
    assert "next" in result.stderr
    assert is_port_free(ca.port)


@pytest.mark.parametrize("workers", ["0", "17", "many"])
def test_number_of_workers_is_checked(tmp_path: Path, workers: str) -> None:
    """1 to 16."""
    ca = CA(tmp_path / "ca", 1, 2, 3)
    assert ca.dayfly("ca", "start", "--workers", workers, check=False).returncode == 1


def test_kept_connections_are_shared_out_evenly(own: CA) -> None:
    """Connections that stay open are shared out, one by one or in a crowd; on a busy machine not to the last one."""
    wires = [Wire(own) for _ in range(24)]
    assert min(Counter(wire.worker for wire in wires).values()) >= 9
    threads = [threading.Thread(target=lambda: wires.append(Wire(own))) for _ in range(24)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=30)
    counts = Counter(wire.worker for wire in wires)
    for wire in wires:
        wire.close()
    assert counts.total() == 48
    assert max(counts.values()) <= 28, counts


# --- one CA, whoever answers ------------------------------------------------------------------------------------------


def test_nonce_of_one_worker_is_good_at_the_other__rfc8555_6_5(client: Client, wires: list[Wire]) -> None:
    """Once: a second use is badNonce at both."""
    url = client.kid or ""
    path = url.removeprefix(client.ca.url)
    signed = client.sign(url, None, nonce=client.nonce(wires[0]))
    assert wires[1].send("POST", path, signed).status == 200
    for wire in wires:
        assert wire.send("POST", path, signed).problem == "badNonce"


def test_one_nonce_fifty_times_over_two_workers_passes_once__d10(ca: CA, client: Client, wires: list[Wire]) -> None:
    """One signed request fifty times at once: one success, the rest badNonce."""
    url = client.kid or ""
    signed = client.sign(url, None, nonce=client.nonce(wires[0]))
    answers = at_once(ca, url.removeprefix(ca.url), [signed] * TRIES)
    assert Counter(answer.status for answer in answers) == {200: 1, 400: TRIES - 1}
    assert {answer.problem for answer in answers if answer.status == 400} == {"badNonce"}


def test_new_account_fifty_times_with_one_key_is_one_account__rfc8555_7_3(ca: CA, wires: list[Wire]) -> None:
    """Two workers, one key: one 201, the rest 200, all with one URL."""
    client = Client(ca)
    url = client.url("new-account")
    bodies = [client.sign(url, {}, nonce=client.nonce(wires[n % WORKERS]), jwk=True) for n in range(TRIES)]
    before = ca.sql("SELECT count(*) FROM accounts")[0][0]
    answers = at_once(ca, url.removeprefix(ca.url), bodies)
    assert Counter(answer.status for answer in answers) == {201: 1, 200: TRIES - 1}
    assert len({answer.headers["location"] for answer in answers}) == 1
    assert ca.sql("SELECT count(*) FROM accounts")[0][0] == before + 1


def one_finalize_round(ca: CA, client: Client, wires: list[Wire], *, same: bool) -> None:
    """A new order, finalized so often at once."""
    order = ready_order(ca, client, wires[0])
    url = order.json["finalize"]
    one = client.finalize_payload(order)
    bodies = [
        client.sign(url, one if same else client.finalize_payload(order), nonce=client.nonce(wires[n % WORKERS]))
        for n in range(TRIES)
    ]
    answers = at_once(ca, url.removeprefix(ca.url), bodies)
    valid = [answer for answer in answers if answer.status == 200]
    assert len(valid) == (TRIES if same else 1)
    assert {answer.problem for answer in answers if answer.status != 200} <= {"orderNotReady"}
    assert len({answer.json["certificate"] for answer in valid}) == 1
    row = int(order.headers["location"].rpartition("/")[2], 16)
    assert ca.sql("SELECT count(*) FROM certificates WHERE order_id = ?", row) == [(1,)]


@pytest.mark.timeout(120 + 3 * ROUNDS)
@pytest.mark.parametrize("same", [True, False])
def test_finalize_fifty_times_over_two_workers_gives_one_certificate__f4(
    ca: CA, client: Client, wires: list[Wire], *, same: bool
) -> None:
    """With one CSR all hear of the same certificate; with fifty one wins, and the others hear orderNotReady."""
    for _ in range(ROUNDS):
        one_finalize_round(ca, client, wires, same=same)


def test_shared_authorization_is_the_same_at_every_worker__acme_o17(ca: CA, wires: list[Wire]) -> None:
    """Proved at one it makes an order ready at the other; given up at one, no order of the other gets a certificate."""
    ca.dayfly("ca", "provisioner", "add", "sharing", "--type", "ACME", "--reuse-authorizations", "1h")
    one, other = wires
    client = Client(ca, provisioner="sharing")
    assert client.register(one).status == 201
    first = ready_order(ca, client, one)
    assert client.post(other, first.json["finalize"], client.finalize_payload(first)).json["status"] == "valid"
    again = client.order(other, NAME)
    assert (again.status, again.json["status"]) == (201, "ready")
    assert again.json["authorizations"] == first.json["authorizations"]
    assert client.post(one, again.headers["location"]).json["status"] == "ready"
    given_up = client.post(one, again.json["authorizations"][0], {"status": "deactivated"})
    assert given_up.json["status"] == "deactivated"
    refused = client.post(other, again.json["finalize"], client.finalize_payload(again))
    assert (refused.status, refused.problem) == (403, "orderNotReady")


def test_token_fifty_times_over_two_workers_signs_once__t2(ca: CA) -> None:
    """One 201, the rest 401: the token is claimed by the commit, whichever worker it reaches."""
    password = ca.home / "secrets" / "provisioner_password"
    token = ca.dayfly(
        *("ca", "token", NAME, "--ca-url", ca.url, "--root", str(ca.root)),
        *("--provisioner", "platform-team", "--provisioner-password-file", str(password)),
    ).stdout.strip()
    request = x509.load_der_x509_csr(csr_der(NAME)).public_bytes(Encoding.PEM).decode()
    body = json.dumps({"csr": request, "ott": token}).encode()
    before = ca.sql("SELECT count(*) FROM certificates")[0][0]
    answers = at_once(ca, "/1.0/sign", [body] * TRIES, media_type="application/json")
    assert Counter(answer.status for answer in answers) <= Counter({201: 1, 401: TRIES, 429: TRIES})
    assert Counter(answer.status for answer in answers)[201] == 1
    assert ca.sql("SELECT count(*) FROM certificates")[0][0] == before + 1


def test_settings_changed_beside_two_workers_are_seen_by_both__r6(ca: CA, wires: list[Wire]) -> None:
    """A command writes while the server runs; the next request to either worker sees it."""
    ca.dayfly("ca", "provisioner", "add", "second", "--type", "ACME")
    assert [wire.send("GET", "/acme/second/directory").status for wire in wires] == [200, 200]
    assert ca.verify()["ok"] is True


class Held(http.server.ThreadingHTTPServer):
    """Answers any challenge with one text, when it is let; counts who asked."""

    daemon_threads = True

    def __init__(self, port: int, answer: str) -> None:
        self.answer, self.asked, self.let = answer, 0, threading.Event()
        super().__init__(("127.0.0.1", port), _HeldHandler)

    def handle_error(self, request: object, client_address: object) -> None:
        """Who asked may be dead by now."""

    def __enter__(self) -> Self:
        threading.Thread(target=self.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.shutdown()
        self.server_close()


class _HeldHandler(http.server.BaseHTTPRequestHandler):
    server: Held

    def do_GET(self) -> None:
        self.server.asked += 1
        self.server.let.wait(timeout=20)
        self.send_response(200)
        self.end_headers()
        self.wfile.write(self.server.answer.encode())

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the standard library's name
        pass


def test_challenge_answered_at_both_workers_is_validated_once__v1(ca: CA, client: Client, wires: list[Wire]) -> None:
    """Fifty answers over two workers: one fetch; meanwhile both show processing, afterwards both show valid."""
    order = client.order(wires[0], "b.internal.example")
    challenge = client.challenge(wires[0], order)
    path = challenge["url"].removeprefix(ca.url)
    with Held(ca.http_port, client.proof(challenge["token"])) as held:
        bodies = [client.sign(challenge["url"], {}, nonce=client.nonce(wires[n % WORKERS])) for n in range(TRIES)]
        answers = at_once(ca, path, bodies)
        assert {(answer.status, answer.json["status"]) for answer in answers} == {(200, "processing")}
        eventually(lambda: held.asked == 1)
        for wire in wires:
            assert client.challenge(wire, order)["status"] == "processing"
        held.let.set()
        for wire in wires:
            client.poll(wire, challenge["url"], lambda found: found["status"] == "valid")
        assert held.asked == 1
        for wire in wires:  # again when valid: nothing is fetched
            assert client.post(wire, challenge["url"], {}).json["status"] == "valid"
        assert held.asked == 1


def test_validation_of_a_worker_that_died_is_started_anew_at_the_other(own: CA) -> None:
    """Its mark is void: the challenge is pending again, and the next answer validates it."""
    wires = wires_to_each_worker(own, workers=WORKERS)
    with contextlib.closing(wires[0].connection), contextlib.closing(wires[1].connection):
        _kill_during_validation(own, *wires)


def _kill_during_validation(own: CA, first: Wire, second: Wire) -> None:
    client = Client(own)
    client.register(first)
    order = client.order(first, "h0.internal.example")
    challenge = client.challenge(first, order)
    with Held(own.http_port, client.proof(challenge["token"])) as held:
        client.post(first, challenge["url"], {})
        eventually(lambda: held.asked == 1)
        assert client.challenge(second, order)["status"] == "processing"
        os.kill(_worker_with(own, first), signal.SIGKILL)
        eventually(lambda: client.challenge(second, order)["status"] == "pending")
        held.let.set()
        client.post(second, challenge["url"], {})
        client.poll(second, challenge["url"], lambda found: found["status"] == "valid")


def _worker_with(ca: CA, wire: Wire) -> int:
    """The worker that has the other end of a connection."""
    ours = wire.connection.sock.getsockname()[1]
    ends = [f"0100007F:{ca.port:04X}", f"0100007F:{ours:04X}"]
    table = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    inode = next(row[9] for row in table if row[1:3] == ends)
    for pid in workers_of(ca):
        if any(str(one.readlink()) == f"socket:[{inode}]" for one in Path(f"/proc/{pid}/fd").iterdir()):
            return pid
    raise AssertionError("nobody has the other end")


# --- metrics ----------------------------------------------------------------------------------------------------------


def test_metrics_count_what_every_worker_did(ca: CA, client: Client, wires: list[Wire]) -> None:
    """A new order at each worker is two more in the one counter; readiness has every check, and the workers'."""
    series = 'dayfly_ca_requests_total{op="acme_new_order",outcome="ok",provisioner="acme",reason="ok"}'
    before = metrics(ca).get(series, 0)
    for wire, name in zip(wires, (NAME, "b.internal.example"), strict=True):
        assert client.order(wire, name).status == 201
    eventually(lambda: metrics(ca).get(series) == before + 2)
    status, checks = readiness(ca)
    assert status == 200
    assert checks["workers"] is True
    assert set(checks) > {"db", "signer", "audit", "tls", "disk"}
    assert metrics(ca)['dayfly_ca_ready{check="workers"}'] == 1


def test_collector_holds_no_key_and_no_password(ca: CA) -> None:
    """It was started by exec, and its environment does not lead to the password."""
    assert ca.process is not None
    (collector,) = set(children(ca.process.pid)) - set(workers_of(ca))
    environment = Path(f"/proc/{collector}/environ").read_bytes()
    assert not re.search(rb"PASSWORD|CREDENTIALS", environment)
    files = [str(one.readlink()) for one in Path(f"/proc/{collector}/fd").iterdir()]
    assert not [one for one in files if "secrets" in one or one.endswith(".db")]


# --- death ------------------------------------------------------------------------------------------------------------


@pytest.fixture
def own(tmp_path: Path) -> Iterator[CA]:
    """A CA with two workers for one test, whose load has names of its own."""
    with running(tmp_path, hosts=[f"h{number}.internal.example" for number in range(4)], workers=WORKERS) as ca:
        yield ca


def test_worker_killed_under_load_costs_nothing_that_was_acknowledged__r1(own: CA) -> None:
    """One worker is killed thrice: the other serves on, a new one comes, nothing is lost, the counters only go up."""
    issued = 'dayfly_ca_issued_total{kind="renew",profile="service",provisioner="acme"}'
    with StandaloneSolver("127.0.0.1", own.http_port) as solver, Load(own, solver, threads=4) as load:
        eventually(lambda: len(load.urls) >= 8)
        seen = metrics(own).get(issued, 0)
        for _ in range(3):
            victim = workers_of(own)[0]
            os.kill(victim, signal.SIGKILL)
            eventually(lambda victim=victim: not lives(victim))  # type: ignore[misc]  # a default binds the loop's value
            assert is_well(own)
            mark = len(load.urls)
            eventually(lambda victim=victim: len(workers_of(own)) == WORKERS and victim not in workers_of(own))  # type: ignore[misc]  # the same
            eventually(lambda mark=mark: len(load.urls) >= mark + 4)  # type: ignore[misc]  # the same
            now = metrics(own).get(issued, 0)
            assert now >= seen
            seen = now
        eventually(lambda: readiness(own)[0] == 200)
    rows = {f"{row[0]:016x}" for row in own.sql("SELECT id FROM certificates")}
    assert {url.rpartition("/")[2] for url in load.urls} <= rows
    assert len(load.urls) == len(set(load.urls))
    assert own.sql("SELECT count(*) - count(DISTINCT serial) FROM certificates") == [(0,)]
    assert own.stop() == 0
    assert own.verify()["ok"] is True
    assert own.said().count("a process ended and is started anew") == 3


def test_supervisor_killed_takes_everything_with_it(own: CA) -> None:
    """When it is killed no orphan keeps a port, and the CA starts again."""
    assert own.process is not None
    pids = children(own.process.pid)
    own.stop(signal.SIGKILL)
    eventually(lambda: not any(lives(pid) for pid in pids), within=12)
    assert is_port_free(own.port)
    assert is_port_free(own.metrics)
    own.start("--workers", "2")
    assert is_well(own)


def test_collector_killed_comes_again_and_knows_the_fleet(own: CA, tmp_path: Path) -> None:
    """Metrics are gone for a moment; the names in use are read anew, and the workers never noticed."""
    own.certificate(NAME, tmp_path)
    eventually(lambda: metrics(own)['dayfly_ca_names{state="unseen"}'] == 1)
    assert own.process is not None
    before = workers_of(own)
    (collector,) = set(children(own.process.pid)) - set(before)
    (own.home / "ca.toml").write_text("what was edited badly is not looked at")
    os.kill(collector, signal.SIGKILL)
    eventually(lambda: not lives(collector))
    eventually(lambda: _names_or_none(own) == 1)
    eventually(lambda: readiness(own)[0] == 200)
    assert workers_of(own) == before


def test_collector_imports_nothing_from_the_directory_of_the_call(own: CA, tmp_path: Path) -> None:
    """What somebody left where the CA was started is not run, though the collector is a new program."""
    own.stop()
    where, ran = tmp_path / "where", tmp_path / "ran"
    where.mkdir()
    own.under = ("env", "-C", str(where))
    own.start("--workers", "2")
    assert own.process is not None
    (collector,) = set(children(own.process.pid)) - set(workers_of(own))
    assert Path(f"/proc/{collector}/cwd").readlink() == Path("/")
    (where / "dayfly.py").write_text(f"open({str(ran)!r}, 'w').close()\n")
    os.kill(collector, signal.SIGKILL)
    eventually(lambda: not lives(collector))
    eventually(lambda: ran.exists() or _names_or_none(own) is not None)
    assert not ran.exists()


def _names_or_none(ca: CA) -> float | None:
    try:
        return metrics(ca).get('dayfly_ca_names{state="unseen"}')
    except OSError:
        return None
