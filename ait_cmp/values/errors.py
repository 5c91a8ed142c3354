"""Every exception that ait_cmp raises.

AitCmpError
├── UsageError       bad usage, config or mapping: exit status 2
├── PairError        one pair cannot be compared, or is left out on purpose: a row with a reason
└── ReportError      the report could not be written: exit status 4

Each message is one sentence: what is wrong, where, and what to do.
"""

from __future__ import annotations

from enum import StrEnum

__all__ = [
    "SKIPPED",
    "AitCmpError",
    "PairError",
    "Reason",
    "ReportError",
    "UsageError",
    "os_reason",
]


class Reason(StrEnum):
    """The short code of a row that does not pass (column `reason`)."""

    # Compared, and out of tolerance (status `fail`).
    TOLERANCE = "TOLERANCE"
    NONFINITE = "NONFINITE"
    REPLICAS_DIFFER = "REPLICAS_DIFFER"
    # Could not be compared (status `error`).
    GOLDEN_MISSING = "GOLDEN_MISSING"
    MY_MISSING = "MY_MISSING"
    NOT_SAVED = "NOT_SAVED"
    SHAPE_MISMATCH = "SHAPE_MISMATCH"
    ADAPTER_MISMATCH = "ADAPTER_MISMATCH"
    MAPPING_AMBIGUOUS = "MAPPING_AMBIGUOUS"
    SAME_FILE = "SAME_FILE"
    NO_TENSOR = "NO_TENSOR"
    NO_METADATA = "NO_METADATA"
    ENTRY_MALFORMED = "ENTRY_MALFORMED"
    ENTRY_DUPLICATE = "ENTRY_DUPLICATE"
    FORMAT_UNKNOWN = "FORMAT_UNKNOWN"
    SCHEME_UNKNOWN = "SCHEME_UNKNOWN"
    PACKAGE_MISSING = "PACKAGE_MISSING"
    ACCESS_DENIED = "ACCESS_DENIED"
    BUCKET_MISSING = "BUCKET_MISSING"
    STORE_UNREACHABLE = "STORE_UNREACHABLE"
    NOT_SUPPORTED = "NOT_SUPPORTED"
    DTYPE_UNSUPPORTED = "DTYPE_UNSUPPORTED"
    NOT_A_TENSOR = "NOT_A_TENSOR"
    NEEDS_TENSORS = "NEEDS_TENSORS"
    UNSAFE_PICKLE = "UNSAFE_PICKLE"
    FILE_UNREADABLE = "FILE_UNREADABLE"
    FOLDER_UNREADABLE = "FOLDER_UNREADABLE"
    NOT_A_FILE = "NOT_A_FILE"
    OUTSIDE_ROOTS = "OUTSIDE_ROOTS"
    BIN_MALFORMED = "BIN_MALFORMED"
    BIN_TRUNCATED = "BIN_TRUNCATED"
    BIN_TRAILING = "BIN_TRAILING"
    BIN_INCONSISTENT = "BIN_INCONSISTENT"
    BIN_ALIAS = "BIN_ALIAS"
    PTH_MALFORMED = "PTH_MALFORMED"
    PTH_EXPANDED = "PTH_EXPANDED"
    NPY_MALFORMED = "NPY_MALFORMED"
    NPZ_MALFORMED = "NPZ_MALFORMED"
    SAFETENSORS_MALFORMED = "SAFETENSORS_MALFORMED"
    FINGERPRINT_MALFORMED = "FINGERPRINT_MALFORMED"
    IN_CHANGED = "IN_CHANGED"
    IN_TRUNCATED = "IN_TRUNCATED"
    ROW_KILLED = "ROW_KILLED"
    ROW_MEMORY = "ROW_MEMORY"
    ROW_TIMEOUT = "ROW_TIMEOUT"
    NODE_NO_FILE = "NODE_NO_FILE"
    NOT_REPLAYED = "NOT_REPLAYED"
    INTERNAL = "INTERNAL"
    # Not judged, on purpose (status `skipped`).
    EMPTY = "EMPTY"
    UNJUDGED = "UNJUDGED"
    LEFT_OUT = "LEFT_OUT"
    UNPAIRED = "UNPAIRED"
    INPUTS_DIFFER = "INPUTS_DIFFER"
    # Compared, by what was recorded of tensors that are not there: the reason of a weak pass.
    STATISTICS_ONLY = "STATISTICS_ONLY"
    # Compared, and otherwise for a reason that is no fault: of a pass, too.
    NEAR_TIE = "NEAR_TIE"


# With these nothing was lost, and nothing was shown to be right.
SKIPPED = frozenset(
    {Reason.EMPTY, Reason.UNJUDGED, Reason.LEFT_OUT, Reason.UNPAIRED, Reason.INPUTS_DIFFER}
)


class AitCmpError(Exception):
    """The root of everything that ait_cmp raises on purpose."""


class UsageError(AitCmpError):
    """The command, the config or the mapping as a whole is wrong."""


class PairError(AitCmpError):
    """One pair is not compared; `reason` is its code, the message its sentence.

    Where the reason is one of `SKIPPED` the row is skipped, else it is an error.
    """

    def __init__(self, reason: Reason, sentence: str) -> None:
        super().__init__(reason, sentence)

    @property
    def reason(self) -> Reason:
        """Its code."""
        return self.args[0]  # type: ignore[no-any-return]

    @property
    def sentence(self) -> str:
        """What is wrong, where, and what to do."""
        return self.args[1]  # type: ignore[no-any-return]

    def __str__(self) -> str:
        return self.sentence


class ReportError(AitCmpError):
    """The report could not be written."""


def os_reason(error: OSError) -> str:
    """The operating system's words for `error`, without its number and path."""
    return (error.strerror or str(error)).lower()
