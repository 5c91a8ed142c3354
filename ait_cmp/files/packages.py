"""The stores whose paths are read, and the package that fsspec needs for each."""

from __future__ import annotations

__all__ = ["PACKAGES"]

# What stands before :// in a path -> the package, which is imported when it is first needed.
PACKAGES = {
    "s3": "s3fs",
    "s3a": "s3fs",
    "gs": "gcsfs",
    "gcs": "gcsfs",
    "abfs": "adlfs",
    "abfss": "adlfs",
    "az": "adlfs",
    "oss": "ossfs",
    "hdfs": "pyarrow",
    "webhdfs": "requests",
    "http": "aiohttp",
    "https": "aiohttp",
    "sftp": "paramiko",
    "memory": "fsspec",
}
