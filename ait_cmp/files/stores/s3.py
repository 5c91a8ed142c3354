"""S3 and what speaks as it does: one request tells bytes, size and state of an object."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ait_cmp.files.stores.store import Store, Thing
from ait_cmp.files.stores.troubles import ChangedError, not_a_file, told

__all__ = ["S3Store"]

_CONNECTIONS = 32  # as many as requests may be under way, and some
_NO_SUCH_RANGE = "InvalidRange"


class S3Store(Store):
    """A bucket, through s3fs, whose credentials and endpoint are those of botocore."""

    notices_changes = True

    def options(self) -> dict[str, Any]:
        """Each request is made once: `fetching` asks again, and knows until when."""
        from fsspec.config import conf

        config = {
            "max_pool_connections": _CONNECTIONS,
            "retries": {"total_max_attempts": 1, "mode": "standard"},
            **conf.get("s3", {}).get("config_kwargs", {}),
        }
        return {"config_kwargs": config}

    def _connected(self) -> Any:
        fs = super()._connected()
        fs.retries = 1
        return fs

    def look(self, url: str) -> Thing | None:
        bucket, key = self._place(url)
        if key:
            try:
                found = self._call("head_object", url, Bucket=bucket, Key=key)
                return self._object(key, found, int(found["ContentLength"]))
            except FileNotFoundError:
                pass  # a folder is no object
        prefix = f"{key}/" if key else ""
        found = self._call("list_objects_v2", url, Bucket=bucket, Prefix=prefix, MaxKeys=1)
        return _folder(key) if found.get("KeyCount", 0) or not key else None

    def first(self, url: str, length: int) -> tuple[Thing, bytes]:
        bucket, key = self._place(url)
        if not key:
            raise not_a_file(url, "a bucket")
        try:
            answer, data = self._get(url, bucket, key, 0, length)
        except FileNotFoundError:
            if self.look(url):
                raise not_a_file(url) from None
            raise
        size = int(answer["ContentLength"])
        if "ContentRange" in answer:
            size = int(answer["ContentRange"].rpartition("/")[2])
        return self._object(key, answer, size), data

    def version(self, info: Mapping[str, Any]) -> str:
        return str(info.get("ETag", "")).strip('"')  # a listing and an object both tell it

    def part(self, url: str, start: int, stop: int, thing: Thing) -> bytes:
        bucket, key = self._place(url)
        try:
            answer, data = self._get(url, bucket, key, start, stop, IfMatch=f'"{thing.version}"')
        except FileExistsError as exc:  # of no such version
            raise ChangedError from exc
        # A store that knows no condition gives what there is.
        if self.version(answer) != thing.version:
            raise ChangedError
        return data

    def _get(
        self, url: str, bucket: str, key: str, start: int, stop: int, **more: str
    ) -> tuple[Mapping[str, Any], bytes]:
        """What the store answers, and the bytes [start, stop), fewer where the object ends."""
        asked = {"Bucket": bucket, "Key": key, "Range": f"bytes={start}-{stop - 1}", **more}

        async def get() -> tuple[Mapping[str, Any], bytes]:
            answer = await self.fs._call_s3("get_object", **asked)
            try:
                return answer, await answer["Body"].read()
            finally:
                answer["Body"].close()

        with told(url, "read"):
            try:
                return self.wait(get)
            except OSError as exc:
                if _NO_SUCH_RANGE not in str(exc.__cause__):
                    raise
        # An empty object has no first byte.
        return self._call("head_object", url, Bucket=bucket, Key=key), b""

    def _object(self, key: str, answer: Mapping[str, Any], size: int) -> Thing:
        modified = answer["LastModified"].timestamp() if answer.get("LastModified") else 0.0
        return Thing(key.rpartition("/")[2], size, self.version(answer), modified)

    def _call(self, method: str, url: str, **asked: Any) -> Mapping[str, Any]:
        async def call() -> Mapping[str, Any]:
            answer: Mapping[str, Any] = await self.fs._call_s3(method, **asked)
            return answer

        with told(url, "read"):
            return self.wait(call)

    def _place(self, url: str) -> tuple[str, str]:
        bucket, _, key = url.split("://", 1)[1].partition("/")
        return bucket, key.rstrip("/")


def _folder(key: str) -> Thing:
    return Thing(key.rpartition("/")[2], is_folder=True)
