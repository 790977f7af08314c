"""Why an image could not be worked: stable codes, and whether trying again can help.

A `Failure` raised while one row is worked ends that row, never the batch. `final` codes are the
image's own fault and stay in the ledger for good; `transient` ones (storage, memory, a lost
worker) are redone by the next run. `skipped` images are delivered unedited because they are not
ours to edit; `failed` ones are not delivered.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Code:
    """One failure code: does a later run try again, is the source delivered, and what it means."""

    transient: bool
    delivered: bool
    meaning: str

    @property
    def verdict(self) -> str:
        """The verdict on an image with this code: `skipped` if its source is delivered, else `failed`."""
        return "skipped" if self.delivered else "failed"


CODES: dict[str, Code] = {
    "file_empty": Code(False, False, "the file has no bytes"),
    "not_an_image": Code(False, False, "the bytes are no image format that can be read"),
    "truncated": Code(False, False, "the image data ends early"),
    "corrupt": Code(False, False, "the image data contradicts itself (a wrong checksum, say)"),
    "decompression_bomb": Code(False, False, "a small file unpacks to far more than an image of its size holds"),
    "key_missing": Code(False, False, "the source has no such object"),
    "mask_missing": Code(False, True, "no mask file stands beside the image"),
    "mask_unreadable": Code(False, True, "the mask file cannot be decoded or has another size than the image"),
    "animated": Code(False, True, "the file holds an animation"),
    "multi_page": Code(False, True, "the file holds several pages or pictures (a gain map, a stereo pair)"),
    "pixels_over_limit": Code(False, True, "more pixels than the limit set for this run"),
    "bytes_over_limit": Code(False, True, "more bytes than the limit set for this run"),
    "mode_unsupported": Code(
        False, True, "a format or pixel format that is not edited: floats, Lab, 12-bit or arithmetic JPEG"
    ),
    "output_path_conflict": Code(False, False, "a file of the destination stands where a folder is needed, or the reverse"),
    "operator_error": Code(False, False, "an operator failed on this image in a way it does not know"),
    "worker_crashed": Code(False, False, "working on it, alone in a process of its own, ended that process"),
    "time_limit": Code(False, False, "an operator took longer for it than the profile allows"),
    "memory_limit": Code(False, False, "it took more memory than the profile allows, alone in a process of its own"),
    "access_denied": Code(True, False, "the storage refuses this object"),
    "storage_error": Code(True, False, "the storage did not answer, or broke off"),
    "disk_full": Code(True, False, "no space left where the image should be written"),
    "out_of_memory": Code(True, False, "not enough memory for this image at that moment"),
    "worker_lost": Code(True, False, "the processes that worked on this image were ended from outside, again and again"),
}
"""Every code that a ledger row can hold."""


class Failure(Exception):
    """Ends the work on one row with a stable code.

    Raises KeyError when built with a code that is not in CODES, so that no unlisted code reaches
    a ledger.
    """

    def __init__(self, code: str, message: str) -> None:
        CODES[code]
        super().__init__(f"{code}: {message}")
        self.code = code
        self.message = message

    def __reduce__(self) -> tuple[type[Failure], tuple[str, str]]:
        """Keep the code on the way from a worker process to the driver."""
        return Failure, (self.code, self.message)


class RunError(Exception):
    """Ends a run with one line on the terminal: a stable code, a sentence, and the process's exit
    code.
    """

    def __init__(self, code: str, message: str, exit_code: int = 2) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code
        self.message = message
        self.exit_code = exit_code

    def __reduce__(self) -> tuple[type[RunError], tuple[str, str, int]]:
        """Keep code and exit code on the way from a worker process to the driver."""
        return RunError, (self.code, self.message, self.exit_code)


def first_line(error: Exception) -> str:
    """The first line of an error's message that is not empty; the error's type if there is none."""
    lines = (line.strip() for line in str(error).splitlines())
    return next((line for line in lines if line), type(error).__name__)


def failure_of(error: Exception) -> Failure:
    """The failure that an exception met while working one row amounts to."""
    if isinstance(error, Failure):
        return error
    if isinstance(error, MemoryError):
        return Failure("out_of_memory", "out of memory")
    return Failure("operator_error", f"{type(error).__name__}: {error}"[:500])
