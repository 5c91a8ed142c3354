"""What the libraries of stores raise, as our own errors: one sentence, and nothing secret in it."""

from __future__ import annotations

import errno
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from ait_cmp.files.fetching import TransientError
from ait_cmp.values.errors import PairError, Reason
from ait_cmp.values.paths import without_secrets

__all__ = ["ChangedError", "as_ours", "not_a_file", "told"]

# Known by their names, so that no library is imported for its errors.
_DENIED = {
    "PermissionError",
    "NoCredentialsError",
    "PartialCredentialsError",
    "CredentialRetrievalError",
    "TokenRetrievalError",
    "UnauthorizedSSOTokenError",
    "ProfileNotFound",
    "RefreshError",
    "ClientAuthenticationError",
}
_TRANSIENT = {
    "ConnectionError",
    "TimeoutError",
    "gaierror",
    "ClientConnectionError",
    "ClientPayloadError",
    "HTTPClientError",
    "ConnectionClosedError",
    "IncompleteRead",
    "IncompleteReadError",
    "ResponseParserError",
    "ServerDisconnectedError",
    "ServiceRequestError",
    "ServiceResponseError",
    "TransportError",
}
_TRANSIENT_NUMBERS = {errno.EREMOTEIO, errno.EBUSY, errno.ETIMEDOUT, errno.EHOSTUNREACH}
_TRANSIENT_CODES = {"RequestTimeout", "SlowDown", "InternalError", "ServiceUnavailable"}
_DENIED_CODES = {"SignatureDoesNotMatch", "InvalidAccessKeyId", "ExpiredToken", "InvalidToken"}
_KEY = re.compile(r"\b(?:AKIA|ASIA)[A-Z0-9]{8,}")
_NUMBER = re.compile(r"\[Errno \d+\] ")
_LONGEST = 200  # characters of what a library says


class ChangedError(Exception):
    """The file is another one than that which was opened."""


@contextmanager
def told(url: str, done: str) -> Iterator[None]:
    """Whatever goes wrong while `url` is `done` (read, listed, written), as `as_ours` has it."""
    try:
        yield
    except (PairError, ChangedError, TransientError):
        raise
    except Exception as exc:
        raise as_ours(exc, url, done) from exc


def as_ours(error: Exception, url: str, done: str) -> Exception:
    """FileNotFoundError, FileExistsError, a TransientError or PairError for `error`."""
    if isinstance(error, ExceptionGroup):
        error = error.exceptions[0]
    status, code = _answer(error)
    names = {one.__name__ for one in type(error).__mro__}
    why = _words(error)
    if code == "NoSuchBucket" or "bucket does not exist" in why:
        return PairError(
            Reason.BUCKET_MISSING,
            f"{url} cannot be {done}: there is no such bucket; check its name and the endpoint",
        )
    if isinstance(error, FileExistsError) or status == 412:
        return FileExistsError(errno.EEXIST, "it exists", url)
    if isinstance(error, FileNotFoundError) or status == 404:
        return FileNotFoundError(errno.ENOENT, "it does not exist", url)
    if names & _DENIED or status in (401, 403) or code in _DENIED_CODES:
        return PairError(
            Reason.ACCESS_DENIED,
            f"{url} cannot be {done} with the credentials that the library of its store finds "
            f"({why}); set them as that library documents it, for s3 with AWS_PROFILE",
        )
    again = status >= 500 or status in (408, 429) or code in _TRANSIENT_CODES
    if again or names & _TRANSIENT or getattr(error, "errno", None) in _TRANSIENT_NUMBERS:
        return TransientError(
            PairError(
                Reason.STORE_UNREACHABLE,
                f"{url} cannot be {done}, since its store does not answer as it should ({why}); "
                "try again later, or check its endpoint",
            )
        )
    if isinstance(error, IsADirectoryError):
        return not_a_file(url)
    return PairError(Reason.FILE_UNREADABLE, f"{url} cannot be {done}: {why}")


def not_a_file(url: str, what: str = "a folder") -> PairError:
    """Why `url` is not opened."""
    return PairError(Reason.NOT_A_FILE, f"{url} is {what}, not a regular file")


def _answer(error: BaseException) -> tuple[int, str]:
    """The HTTP status and the store's own code; 0 and nothing where there is none."""
    for one in (error, error.__cause__, error.__context__):
        answer: Any = getattr(one, "response", None)
        if isinstance(answer, dict):  # botocore
            about = answer.get("ResponseMetadata", {})
            return int(about.get("HTTPStatusCode", 0)), str(answer.get("Error", {}).get("Code", ""))
        for name in ("status", "status_code", "code"):  # aiohttp, azure, gcsfs
            if isinstance(status := getattr(one, name, None), int):
                return status, ""
    return 0, ""


def _words(error: BaseException) -> str:
    """What a library says, in a few words of one line."""
    text = " ".join(without_secrets(str(error)).split()) or type(error).__name__
    text = _NUMBER.sub("", _KEY.sub("…", text))
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 1]}…"
