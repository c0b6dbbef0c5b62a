"""Who may reach a fleet: this machine, or those with certificates, unless somebody insists."""

from __future__ import annotations

import shutil
import socket
import subprocess
from pathlib import Path

import pytest

from metalassay.errors import UserError
from metalassay.matrix import fleet_security
from metalassay.matrix.fleet_security import Tls

CACHE = Path("cache")


OPENSSL = shutil.which("openssl") or ""


def made(folder: Path, name: str) -> Tls:
    """Make a certificate that signs itself, which is its own authority."""
    if not OPENSSL:
        pytest.skip("openssl is not installed")
    certificate, key = folder / f"{name}.pem", folder / f"{name}.key"
    command = [OPENSSL, "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2"]
    command += ["-subj", f"/CN={name}", "-keyout", str(key), "-out", str(certificate)]
    subprocess.run(command, check=True, capture_output=True)
    return Tls(certificate, certificate, key)


@pytest.fixture
def certificates(tmp_path: Path) -> Tls:
    return made(tmp_path, "box")


@pytest.mark.parametrize(
    ("text", "full"),
    [
        ("127.0.0.1", "tcp://127.0.0.1:8786"),
        ("localhost:9000", "tcp://localhost:9000"),
        ("tcp://127.0.0.1:8786", "tcp://127.0.0.1:8786"),
        ("tcp://127.8.9.1:8786", "tcp://127.8.9.1:8786"),
        ("[::1]:8786", "tcp://[::1]:8786"),
    ],
)
def test_an_address_on_this_machine_needs_nothing(text: str, full: str) -> None:
    assert fleet_security.address(text, None, insecure=False) == full


@pytest.mark.parametrize("host", ["10.0.0.2", "192.0.2.7", "mini.local", "[fe80::1]", "[::]"])
def test_another_machine_needs_tls_or_the_word(host: str) -> None:
    with pytest.raises(UserError, match="without TLS"):
        fleet_security.address(f"tcp://{host}:8786", None, insecure=False)
    with pytest.raises(UserError, match="without TLS"):
        fleet_security.address(host, None, insecure=False)
    assert fleet_security.address(host, None, insecure=True) == f"tcp://{host}:8786"


def test_an_address_with_certificates_is_encrypted(certificates: Tls) -> None:
    full = "tls://10.0.0.2:8786"
    assert fleet_security.address("10.0.0.2", certificates, insecure=False) == full
    assert fleet_security.address(full, certificates, insecure=False) == full
    with pytest.raises(UserError, match="would not be used"):
        fleet_security.address("tcp://10.0.0.2:8786", certificates, insecure=True)
    with pytest.raises(UserError, match="needs --tls-ca"):
        fleet_security.address(full, None, insecure=True)


@pytest.mark.parametrize(
    "text", ["", "http://127.0.0.1", "a b", "tcp://", "127.0.0.1:99999", "::1"]
)
def test_what_is_no_address_is_refused(text: str) -> None:
    with pytest.raises(UserError, match="not the address of a scheduler"):
        fleet_security.address(text, None, insecure=True)


def test_the_three_files_belong_together(certificates: Tls, tmp_path: Path) -> None:
    assert fleet_security.tls(None, None, None) is None
    read = fleet_security.tls(certificates.ca, certificates.certificate, certificates.key)
    assert read == certificates
    with pytest.raises(UserError, match="--tls-cert and --tls-key missing"):
        fleet_security.tls(certificates.ca, None, None)
    with pytest.raises(UserError, match=r"--tls-key .*nowhere: there is no file"):
        fleet_security.tls(certificates.ca, certificates.certificate, tmp_path / "nowhere")


def test_files_that_are_no_certificates_or_of_two_machines_are_named(
    certificates: Tls, tmp_path: Path
) -> None:
    other = made(tmp_path, "mini")
    with pytest.raises(UserError, match=r"box\.pem and --tls-key .*mini\.key do not fit together"):
        fleet_security.tls(certificates.ca, certificates.certificate, other.key)
    text = tmp_path / "README.md"
    text.write_text("no certificate")
    with pytest.raises(UserError, match=r"--tls-ca .*README\.md is no certificate"):
        fleet_security.tls(text, certificates.certificate, certificates.key)


def test_a_port_in_use_is_said_before_dask_begins() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        with pytest.raises(UserError, match=r"cannot listen on 127\.0\.0\.1"):
            fleet_security.refuse_busy("127.0.0.1", taken.getsockname()[1])
        free = taken.getsockname()[1]
    fleet_security.refuse_busy("127.0.0.1", free)


@pytest.mark.parametrize("host", ["", "192.0.2.7", "10.0.0.2", "box.local"])
def test_a_scheduler_for_others_needs_tls_or_the_word(host: str, certificates: Tls) -> None:
    with pytest.raises(UserError, match="without TLS"):
        fleet_security.scheduler(host, 8786, None, insecure=False)
    assert "tcp" in fleet_security.scheduler(host, 8786, None, insecure=True)
    encrypted = fleet_security.scheduler(host, 8786, certificates, insecure=False)
    assert encrypted[encrypted.index("--protocol") + 1] == "tls"
    assert str(certificates.key) in encrypted


@pytest.mark.parametrize("insecure", [False, True])
def test_no_dashboard_is_open_to_the_network(certificates: Tls, insecure: bool) -> None:
    scheduler = fleet_security.scheduler("10.0.0.2", 8786, certificates, insecure=insecure)
    worker = fleet_security.worker("tls://10.0.0.2:8786", certificates, {}, 1, CACHE)
    for command in (scheduler, worker):
        assert command[command.index("--dashboard-address") + 1].startswith("127.0.0.1:")


def test_a_worker_of_a_scheduler_here_listens_here_only() -> None:
    here = fleet_security.worker("tcp://127.0.0.1:8786", None, {"mps": 1, "m4": 2}, 3, CACHE)
    assert here[here.index("--host") + 1] == "127.0.0.1"
    assert here[here.index("--resources") + 1] == "mps=1 m4=2"
    assert here[here.index("--nthreads") + 1] == "3"
    assert "--host" not in fleet_security.worker("tcp://10.0.0.2:8786", None, {}, 1, CACHE)


def test_encryption_is_required_where_there_are_certificates(certificates: Tls) -> None:
    required = "DASK_DISTRIBUTED__COMM__REQUIRE_ENCRYPTION"
    assert fleet_security.variables(certificates)[required] == "true"
    assert required not in fleet_security.variables(None)


def test_resources_are_read_as_dask_writes_them() -> None:
    read = fleet_security.resources(["mps=1 m4pro=2", "linux", "a=0.5,b"])
    assert read == {"mps": 1, "m4pro": 2, "linux": 1, "a": 0.5, "b": 1}
    assert fleet_security.as_text(read) == "mps=1 m4pro=2 linux=1 a=0.5 b=1"
    assert fleet_security.resources([]) == {}


@pytest.mark.parametrize("text", ["=1", "a=", "a=x", "a=0", "a=-1", "a=nan", "a=inf", "ä b=?"])
def test_what_is_no_resource_is_refused(text: str) -> None:
    with pytest.raises(UserError, match="is not a resource"):
        fleet_security.resources([text])
