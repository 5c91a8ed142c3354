"""One server for all tests; each has the bucket to itself."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from ait_cmp.files import fetching, look_again
from tests_remote.store import S3Server

BUCKET = "dumps"


@pytest.fixture(scope="session")
def server() -> Iterator[S3Server]:
    """Running, with a bucket."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in {
            "AWS_ACCESS_KEY_ID": "AKIATESTTESTTESTTEST",
            "AWS_SECRET_ACCESS_KEY": "verysecretverysecret",
            "AWS_DEFAULT_REGION": "us-east-1",
        }.items():
            patch.setenv(name, value)
        found = S3Server()
        patch.setenv("AWS_ENDPOINT_URL", found.url)
        found.client.create_bucket(Bucket=BUCKET)
        yield found
        found.close()


@pytest.fixture
def s3(server: S3Server, monkeypatch: pytest.MonkeyPatch) -> Iterator[S3Server]:
    """The server, its bucket empty, asked by us as if for the first time."""
    server.clear(BUCKET)
    look_again()
    monkeypatch.setattr(fetching, "_DEADLINE", 5.0)
    monkeypatch.setattr(fetching, "_PATIENCE", fetching._Patience())
    yield server
    server.clear(BUCKET)
