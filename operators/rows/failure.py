"""Why an image could not be processed: stable codes, and whether a retry can help.

A `Failure` raised while a row is processed ends that row, never the batch. Final codes are the
image's fault and stay in the ledger. The next run retries images with a transient code (storage,
memory, a lost worker), even if their source was delivered meanwhile. `skipped` images are not
eligible for editing, and the work on `rolled_back` ones went wrong: both are delivered unchanged.
`failed` is left for images that cannot be read or stored at all; they are not delivered.
"""

from __future__ import annotations

from dataclasses import dataclass

FAILED, SKIPPED, ROLLED_BACK = "failed", "skipped", "rolled_back"


@dataclass(frozen=True)
class Code:
    """A failure code: the verdict on its images, whether a later run retries them, its meaning."""

    verdict: str
    """FAILED, SKIPPED or ROLLED_BACK."""
    transient: bool
    meaning: str

    @property
    def delivered(self) -> bool:
        """Whether the source is delivered."""
        return self.verdict != FAILED


CODES: dict[str, Code] = {
    "file_empty": Code(FAILED, False, "the file is empty"),
    "not_an_image": Code(FAILED, False, "the bytes are not in a readable image format"),
    "truncated": Code(FAILED, False, "the image data ends early"),
    "corrupt": Code(FAILED, False, "the image data contradicts itself, for example by a wrong checksum"),
    "decompression_bomb": Code(
        FAILED, False, "a small file, or its texts and profiles, unpack to far more data than an image of its size can hold"
    ),
    "source_not_allowed": Code(
        FAILED, False, "a manifest names a place that `--allow` does not name, or a server leads to one"
    ),
    "key_missing": Code(FAILED, False, "the source does not contain the object"),
    "mask_missing": Code(SKIPPED, False, "there is no mask file for the image"),
    "mask_unreadable": Code(SKIPPED, False, "the mask file cannot be decoded or differs in size from the image"),
    "mask_unclear": Code(SKIPPED, False, "the mask file does not say for certain which pixels it marks"),
    "regions_unfit": Code(SKIPPED, False, "the regions given for the image are no areas of it, or are those of another size"),
    "animated": Code(SKIPPED, False, "the file contains an animation"),
    "multi_page": Code(SKIPPED, False, "the file contains several pages"),
    "pixels_over_limit": Code(SKIPPED, False, "the image has more pixels than the limit of the run"),
    "bytes_over_limit": Code(SKIPPED, False, "the file has more bytes than the limit of the run"),
    "scans_over_limit": Code(SKIPPED, False, "a JPEG has more scans than the limit of the run"),
    "frames_over_limit": Code(SKIPPED, False, "an animation has more frames than the limit of the run"),
    "directories_over_limit": Code(SKIPPED, False, "a TIFF has more directories than the limit of the run"),
    "decode_time_limit": Code(SKIPPED, False, "decoding took longer than the limit of the run"),
    "mode_unsupported": Code(
        SKIPPED, False, "the format or pixel format cannot be edited: floats, Lab, 12-bit JPEG, raw photographs"
    ),
    "written_wrongly": Code(ROLLED_BACK, False, "another decoder reads the edited file otherwise than it was meant"),
    "name_taken": Code(ROLLED_BACK, False, "the name that the converted file would get is that of another source"),
    "output_path_conflict": Code(FAILED, False, "the destination has a file where a folder is needed, or the reverse"),
    "operator_error": Code(ROLLED_BACK, False, "an operator raised an unexpected error on this image"),
    "worker_crashed": Code(ROLLED_BACK, False, "a process that worked on nothing but the image crashed"),
    "time_limit": Code(ROLLED_BACK, False, "an operator took longer than the profile allows"),
    "memory_limit": Code(ROLLED_BACK, False, "the image, processed alone, took more memory than the profile allows"),
    "call_refused": Code(
        ROLLED_BACK, False, "a model that is asked over HTTP refuses the request, for its key, its rules or its shape"
    ),
    "answer_invalid": Code(ROLLED_BACK, False, "what a model that is asked over HTTP answers is no picture of the right shape"),
    "call_failed": Code(ROLLED_BACK, True, "a model that is asked over HTTP is too busy or does not answer, after all retries"),
    "access_denied": Code(FAILED, True, "the storage denies access to the object"),
    "storage_error": Code(FAILED, True, "the storage did not answer, or the connection broke"),
    "disk_full": Code(FAILED, True, "no space is left at the destination"),
    "out_of_memory": Code(ROLLED_BACK, True, "there was not enough memory for the image at that moment"),
    "worker_lost": Code(FAILED, True, "the processes that worked on the image were repeatedly ended from outside"),
}
"""Every code that can appear in a ledger row."""


class Failure(Exception):
    """The error that ends the work on one row with a stable code.

    The constructor raises KeyError for a code that is not in CODES, so that no unlisted code
    reaches a ledger.
    """

    def __init__(self, code: str, message: str) -> None:
        CODES[code]
        super().__init__(f"{code}: {message}")
        self.code = code
        self.message = message

    def __reduce__(self) -> tuple[type[Failure], tuple[str, str]]:
        """Keep the code when the error travels from a worker process to the driver."""
        return Failure, (self.code, self.message)


class RunError(Exception):
    """The error that ends a run with one line on the terminal.

    The line holds a stable code and a sentence; the process ends with `exit_code`.
    """

    def __init__(self, code: str, message: str, exit_code: int = 2) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code
        self.message = message
        self.exit_code = exit_code

    def __reduce__(self) -> tuple[type[RunError], tuple[str, str, int]]:
        """Keep both codes when the error travels from a worker process to the driver."""
        return RunError, (self.code, self.message, self.exit_code)


def first_line(error: Exception) -> str:
    """The first non-empty line of an error's message, or the error's type if there is none."""
    lines = (line.strip() for line in str(error).splitlines())
    return next((line for line in lines if line), type(error).__name__)


def failure_of(error: Exception) -> Failure:
    """The failure that corresponds to an exception raised while a row was processed."""
    if isinstance(error, Failure):
        return error
    if isinstance(error, MemoryError):
        return Failure("out_of_memory", "out of memory")
    return Failure("operator_error", f"{type(error).__name__}: {error}"[:500])
