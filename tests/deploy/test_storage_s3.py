from __future__ import annotations

import ssl
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from urllib.parse import unquote_plus

import pytest
import requests
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from deploy.names import attachment
from deploy.storage.base import (
    ObjectMissingError,
    ObjectStorage,
    StorageError,
    StorageUnavailableError,
)
from deploy.storage.factory import make_storage
from tests.deploy.s3_server import ACCESS_KEY, SECRET_KEY, S3Server, not_s3
from tests.deploy.storage_contract import StorageContract


def storage_at(
    endpoint: str, bucket: str = "videos", access: str = ACCESS_KEY, secret: str = SECRET_KEY
) -> ObjectStorage:
    return make_storage(f"s3://{endpoint}/{bucket}", access_key=access, secret_key=secret)


@pytest.fixture
def server() -> Iterator[S3Server]:
    with S3Server("videos") as server:
        yield server


@pytest.fixture
def storage(server: S3Server) -> ObjectStorage:
    return storage_at(server.endpoint)


class TestS3(StorageContract):
    @pytest.fixture
    def storage(self, server: S3Server) -> ObjectStorage:
        return storage_at(server.endpoint)


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    path = tmp_path / "clip"
    path.write_bytes(b"frames" * 1000)
    return path


def test_a_large_upload_goes_in_parts(
    server: S3Server, storage: ObjectStorage, tmp_path: Path
) -> None:
    large = tmp_path / "large"
    large.write_bytes(b"x" * (17 * 1024 * 1024))
    storage.upload(large, "large")
    assert any("partNumber=2" in request for request in server.requests)
    assert storage.size("large") == 17 * 1024 * 1024


def test_a_wrong_secret_is_told_and_never_printed(server: S3Server) -> None:
    with pytest.raises(StorageError, match="refuses the secret key") as caught:
        storage_at(server.endpoint, secret="battery staple").check()
    assert "staple" not in str(caught.value)
    assert not isinstance(caught.value, StorageUnavailableError)


def test_an_unknown_user_is_told(server: S3Server) -> None:
    with pytest.raises(StorageError, match="does not know the access key"):
        storage_at(server.endpoint, access="stranger").check()


def test_anonymous_access_is_denied_by_the_server(server: S3Server) -> None:
    with pytest.raises(StorageError, match="denies access"):
        make_storage(f"s3://{server.endpoint}/videos").check()


def test_a_missing_bucket_is_named_and_made_by_prepare(server: S3Server, clip: Path) -> None:
    storage = storage_at(server.endpoint, "films")
    with pytest.raises(StorageError, match="no bucket 'films'") as caught:
        storage.check()
    assert not isinstance(caught.value, ObjectMissingError)
    with pytest.raises(StorageError, match="no bucket 'films'"):
        storage.upload(clip, "clip")
    storage.prepare()
    storage.check()


def test_a_server_that_is_down_and_comes_back(
    server: S3Server, storage: ObjectStorage, clip: Path, tmp_path: Path
) -> None:
    storage.upload(clip, "clip")
    server.stop()
    with pytest.raises(StorageUnavailableError, match="Connection refused"):
        storage.download("clip", tmp_path / "copy")
    server.start()
    storage.download("clip", tmp_path / "copy")
    assert (tmp_path / "copy").read_bytes() == clip.read_bytes()


def test_short_overload_is_ridden_out(server: S3Server, storage: ObjectStorage, clip: Path) -> None:
    server.failures = 2
    storage.upload(clip, "clip")
    assert storage.size("clip") == 6000


def test_long_overload_is_told(server: S3Server, storage: ObjectStorage, clip: Path) -> None:
    server.failures = 1000
    with pytest.raises(StorageUnavailableError, match="503"):
        storage.upload(clip, "clip")


def test_a_download_that_breaks_off_leaves_nothing(
    server: S3Server, storage: ObjectStorage, clip: Path, tmp_path: Path
) -> None:
    storage.upload(clip, "clip")
    server.cut = True
    with pytest.raises(StorageUnavailableError):
        storage.download("clip", tmp_path / "copy")
    assert list(tmp_path.iterdir()) == [clip]


def test_another_service_on_the_port_is_told() -> None:
    with not_s3() as endpoint, pytest.raises(StorageError, match="is not S3"):
        storage_at(endpoint).check()


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A key and a certificate of 127.0.0.1 that vouches for itself."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(
            x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False
        )
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    path = tmp_path_factory.mktemp("tls") / "server.pem"
    encoding = serialization.Encoding.PEM
    plain = serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    path.write_bytes(key.private_bytes(encoding, *plain) + certificate.public_bytes(encoding))
    return path


def test_tls_that_is_trusted_and_tls_that_is_not(
    certificate: Path, clip: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(certificate)
    with S3Server("videos", tls=tls) as server:
        url, keys = f"s3s://{server.endpoint}/videos", (ACCESS_KEY, SECRET_KEY)
        storage = make_storage(url, access_key=keys[0], secret_key=keys[1])
        with pytest.raises(StorageError, match="SSL_CERT_FILE") as caught:
            storage.check()
        assert not isinstance(caught.value, StorageUnavailableError)
        monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
        storage = make_storage(url, access_key=keys[0], secret_key=keys[1])
        storage.upload(clip, "clip")
        assert storage.size("clip") == 6000


def test_a_missing_local_file_is_told(storage: ObjectStorage, tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="No such file"):
        storage.upload(tmp_path / "none", "clip")


NAME = 'out-a "film"; no\u00ebl.mp4'


def test_a_signed_address_gives_the_object_away_under_its_name(
    server: S3Server, storage: ObjectStorage, clip: Path
) -> None:
    storage.upload(clip, "output-videos/a b&c+d.mp4")
    url = storage.signed_url("output-videos/a b&c+d.mp4", NAME, 900)
    reply = requests.get(url, timeout=30)
    assert (reply.status_code, reply.content) == (200, clip.read_bytes())
    assert reply.headers["Content-Type"] == "video/mp4"
    assert reply.headers["Content-Disposition"] == attachment(NAME)
    part = requests.get(url, headers={"Range": "bytes=6-11"}, timeout=30)
    assert (part.status_code, part.content) == (206, b"frames")
    assert SECRET_KEY not in unquote_plus(url)


@pytest.mark.parametrize(
    ("written", "instead"),
    [
        ("/videos/clip?", "/videos/other?"),
        ("X-Amz-Expires=900", "X-Amz-Expires=604800"),
        ("video%2Fmp4", "text%2Fhtml"),
    ],
)
def test_a_signed_address_is_good_for_what_was_signed_only(
    server: S3Server, storage: ObjectStorage, clip: Path, written: str, instead: str
) -> None:
    for key in ("clip", "other"):
        storage.upload(clip, key)
    url = storage.signed_url("clip", NAME, 900)
    assert requests.get(url, timeout=30).status_code == 200
    assert written in url
    refused = requests.get(url.replace(written, instead), timeout=30)
    assert (refused.status_code, b"SignatureDoesNotMatch" in refused.content) == (403, True)
    assert requests.put(url, data=b"mine", timeout=30).status_code == 403
    assert storage.size("clip") == 6000


def test_a_signed_address_ends(server: S3Server, storage: ObjectStorage, clip: Path) -> None:
    storage.upload(clip, "clip")
    url = storage.signed_url("clip", NAME, 1)
    deadline = time.monotonic() + 30
    while requests.get(url, timeout=30).status_code == 200 and time.monotonic() < deadline:
        time.sleep(0.1)
    refused = requests.get(url, timeout=30)
    assert (refused.status_code, b"AccessDenied" in refused.content) == (403, True)
