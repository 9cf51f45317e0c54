"""A small S3 server in this process, spoken to over real HTTP, that can fail when told.

It keeps objects in memory, checks the signature (version 4) of each request and answers with the
XML of S3. What a real server does beyond that is tested against one in tests/clouds.
"""

from __future__ import annotations

import hashlib
import re
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from urllib.parse import parse_qs, unquote, urlsplit
from xml.sax.saxutils import escape

from minio.credentials import Credentials  # type: ignore[attr-defined]
from minio.signer import presign_v4, sign_v4_s3

ACCESS_KEY = "worker"
SECRET_KEY = "correct horse battery"
_RANGE = re.compile(r"bytes=(\d+)-(\d+)")
NAMESPACE = 'xmlns="http://s3.amazonaws.com/doc/2006-03-01/"'


class S3Server:
    """Up between `start` and `stop`, also several times, always on the same port."""

    def __init__(self, *buckets: str, tls: ssl.SSLContext | None = None) -> None:
        self.buckets: dict[str, dict[str, bytes]] = {name: {} for name in buckets}
        self.checksums: dict[tuple[str, str], str] = {}
        """The user metadata `sha256`, by bucket and key."""
        self.parts: dict[str, dict[int, bytes]] = {}
        self.failures = 0
        """So many requests to come are answered with 503."""
        self.cut = False
        """Whether downloads end before their last byte."""
        self.requests: list[str] = []
        self.port = 0
        self._tls = tls
        self._server: ThreadingHTTPServer | None = None

    @property
    def endpoint(self) -> str:
        return f"127.0.0.1:{self.port}"

    def start(self) -> None:
        class Handler(_Handler):
            s3 = self

        self._server = ThreadingHTTPServer(("127.0.0.1", self.port), Handler)
        self._server.daemon_threads = True
        if self._tls is not None:
            # The handshake is each connection's own thread's matter.
            self._server.socket = self._tls.wrap_socket(
                self._server.socket, server_side=True, do_handshake_on_connect=False
            )
        self.port = self._server.server_port
        threading.Thread(target=self._server.serve_forever, args=(0.01,)).start()

    def stop(self) -> None:
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()
            self._server = None

    def __enter__(self) -> S3Server:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()


class _RefusedError(Exception):
    def __init__(self, status: int, code: str) -> None:
        self.status, self.code = status, code


class _Handler(BaseHTTPRequestHandler):
    s3: S3Server
    timeout = 5
    _found_checksum: str | None = None
    _asked_type = "application/xml"
    _asked_disposition: str | None = None

    def log_message(self, format: str, *args: object) -> None:
        pass

    def do_GET(self) -> None:
        self._handle()

    do_HEAD = do_PUT = do_POST = do_DELETE = do_GET  # noqa: N815

    def _handle(self) -> None:
        self.s3.requests.append(f"{self.command} {self.path}")
        body = self.rfile.read(int(self.headers.get("content-length", 0)))
        try:
            if self.s3.failures > 0:
                self.s3.failures -= 1
                raise _RefusedError(503, "SlowDown")
            self._check_signature(body)
            self._route(body)
        except _RefusedError as refusal:
            self._reply(refusal.status, f"<Error><Code>{refusal.code}</Code></Error>".encode())

    def _check_signature(self, body: bytes) -> None:
        given = self.headers.get("authorization")
        if given is None:
            self._check_signed_url()
            return
        fields = dict(field.strip().split("=", 1) for field in given.split(" ", 1)[1].split(","))
        user, _, region = fields["Credential"].split("/")[:3]
        if user != ACCESS_KEY:
            raise _RefusedError(403, "InvalidAccessKeyId")
        digest = self.headers["x-amz-content-sha256"]
        expected = sign_v4_s3(
            method=self.command,
            url=urlsplit(f"http://{self.headers['host']}{self.path}"),
            region=region,
            headers={name: self.headers[name] for name in fields["SignedHeaders"].split(";")},
            credentials=Credentials(ACCESS_KEY, SECRET_KEY),
            content_sha256=digest,
            date=datetime.strptime(self.headers["x-amz-date"], "%Y%m%dT%H%M%SZ").replace(
                tzinfo=UTC
            ),
        )["Authorization"]
        # Over TLS clients need not sign the content.
        signed = digest in (hashlib.sha256(body).hexdigest(), "UNSIGNED-PAYLOAD")
        if given != expected or not signed:
            raise _RefusedError(403, "SignatureDoesNotMatch")

    def _check_signed_url(self) -> None:
        url = urlsplit(f"http://{self.headers['host']}{self.path}")
        query = {name: values[0] for name, values in parse_qs(url.query).items()}
        if "X-Amz-Signature" not in query:
            raise _RefusedError(403, "AccessDenied")
        user, _, region = query["X-Amz-Credential"].split("/")[:3]
        if user != ACCESS_KEY:
            raise _RefusedError(403, "InvalidAccessKeyId")
        date = datetime.strptime(query["X-Amz-Date"], "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
        expires = int(query["X-Amz-Expires"])
        # The signer adds its own parameters to those that were asked for.
        asked = "&".join(part for part in url.query.split("&") if not part.startswith("X-Amz-"))
        expected = presign_v4(
            method=self.command,
            url=url._replace(query=asked),
            region=region,
            credentials=Credentials(ACCESS_KEY, SECRET_KEY),
            date=date,
            expires=expires,
        )
        if query["X-Amz-Signature"] != parse_qs(expected.query)["X-Amz-Signature"][0]:
            raise _RefusedError(403, "SignatureDoesNotMatch")
        if datetime.now(UTC) >= date + timedelta(seconds=expires):
            raise _RefusedError(403, "AccessDenied")

    def _route(self, body: bytes) -> None:
        url = urlsplit(self.path)
        query = {name: values[0] for name, values in parse_qs(url.query, True).items()}
        bucket, _, key = unquote(url.path).removeprefix("/").partition("/")
        if self.command == "PUT" and not key:
            if bucket in self.s3.buckets:
                raise _RefusedError(409, "BucketAlreadyOwnedByYou")
            self.s3.buckets[bucket] = {}
            return self._reply(200)
        if bucket not in self.s3.buckets:
            raise _RefusedError(404, "NoSuchBucket")
        if not key:
            return self._bucket(bucket, query)
        if self.command == "PUT" and "x-amz-copy-source" in self.headers:
            return self._copy(bucket, key)
        digest = self.headers.get("x-amz-meta-sha256")
        if digest is not None:
            self.s3.checksums[bucket, key] = digest
        elif self.command in ("PUT", "DELETE") and "uploadId" not in query:
            self.s3.checksums.pop((bucket, key), None)
        self._found_checksum = self.s3.checksums.get((bucket, key))
        self._asked_type = query.get("response-content-type", self._asked_type)
        self._asked_disposition = query.get("response-content-disposition")
        return self._object(self.s3.buckets[bucket], key, query, body)

    def _copy(self, bucket: str, key: str) -> None:
        source_bucket, _, source = (
            unquote(self.headers["x-amz-copy-source"]).strip("/").partition("/")
        )
        if (source_bucket, source) == (bucket, key):
            raise _RefusedError(400, "InvalidRequest")
        if source not in self.s3.buckets.get(source_bucket, {}):
            raise _RefusedError(404, "NoSuchKey")
        self.s3.buckets[bucket][key] = self.s3.buckets[source_bucket][source]
        self.s3.checksums.pop((bucket, key), None)
        if (source_bucket, source) in self.s3.checksums:
            self.s3.checksums[bucket, key] = self.s3.checksums[source_bucket, source]
        self._reply(
            200,
            f'<CopyObjectResult {NAMESPACE}><ETag>"e"</ETag>'
            "<LastModified>2026-01-01T00:00:00.000Z</LastModified></CopyObjectResult>".encode(),
        )

    def _bucket(self, bucket: str, query: dict[str, str]) -> None:
        if "location" in query:
            return self._reply(200, f"<LocationConstraint {NAMESPACE}/>".encode())
        prefix, after = query["prefix"], query.get("continuation-token", "")
        keys = sorted(key for key in self.s3.buckets[bucket] if key.startswith(prefix))
        rest = [key for key in keys if key > after]
        page = rest[:3]  # small, so that paging is tested too
        more = f"<NextContinuationToken>{escape(page[-1])}</NextContinuationToken>" if page else ""
        entries = "".join(
            f"<Contents><Key>{escape(key)}</Key><Size>1</Size></Contents>" for key in page
        )
        return self._reply(
            200,
            f"<ListBucketResult {NAMESPACE}><Name>{bucket}</Name>{entries}{more}<IsTruncated>"
            f"{str(len(rest) > len(page)).lower()}</IsTruncated></ListBucketResult>".encode(),
        )

    def _object(
        self, objects: dict[str, bytes], key: str, query: dict[str, str], body: bytes
    ) -> None:
        upload = query.get("uploadId", "")
        match self.command:
            case "POST" if "uploads" in query:
                upload = str(len(self.s3.parts) + 1)
                self.s3.parts[upload] = {}
                self._reply(
                    200,
                    f"<InitiateMultipartUploadResult {NAMESPACE}><UploadId>{upload}</UploadId>"
                    "</InitiateMultipartUploadResult>".encode(),
                )
            case "POST":
                parts = self.s3.parts.pop(upload)
                objects[key] = b"".join(parts[number] for number in sorted(parts))
                self._reply(
                    200,
                    f"<CompleteMultipartUploadResult {NAMESPACE}><Bucket>b</Bucket><Key>k</Key>"
                    '<ETag>"e"</ETag></CompleteMultipartUploadResult>'.encode(),
                )
            case "PUT":
                if upload:
                    self.s3.parts[upload][int(query["partNumber"])] = body
                else:
                    objects[key] = body
                self._reply(200)
            case "DELETE":
                objects.pop(key, None)
                self._reply(204)
            case _ if key not in objects:
                raise _RefusedError(404, "NoSuchKey")
            case _:
                wanted = _RANGE.fullmatch(self.headers.get("Range", ""))
                content = objects[key]
                if wanted is not None:
                    content = content[int(wanted[1]) : int(wanted[2]) + 1]
                status = 200 if wanted is None else 206
                self._reply(status, content, cut=self.s3.cut and self.command == "GET")

    def _reply(self, status: int, body: bytes = b"", *, cut: bool = False) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Content-Type", self._asked_type)
        if self._asked_disposition is not None:
            self.send_header("Content-Disposition", self._asked_disposition)
        self.send_header("ETag", f'"{hashlib.md5(body, usedforsecurity=False).hexdigest()}"')
        self.send_header("Last-Modified", formatdate(usegmt=True))
        if self._found_checksum is not None:
            self.send_header("x-amz-meta-sha256", self._found_checksum)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body[: len(body) // 2] if cut else body)


@contextmanager
def not_s3() -> Iterator[str]:
    """The endpoint of a web server that is no S3."""

    class Handler(BaseHTTPRequestHandler):
        def log_message(self, format: str, *args: object) -> None:
            pass

        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "text/html")
            self.send_header("Content-Length", "9")
            self.end_headers()
            self.wfile.write(b"<p>Hello\n")

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield f"127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()
