"""What a job brings to the cluster: the checkout's packages, and the files of this machine that
its command line names.

Only the packages are taken, whatever else lies in the checkout: pictures and models would be
carried along otherwise.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

PACKAGES = ("cluster", "flows", "operators")
CHECKOUT = Path(__file__).resolve().parents[1]
LEFT_OUT = shutil.ignore_patterns("__pycache__", "*.pyc", "kubernetes")


@contextmanager
def pack_working_dir(files: Mapping[str, Path]) -> Iterator[Path]:
    """A folder with the packages and with these files under their new names; it is gone
    afterwards.
    """
    with TemporaryDirectory(prefix="cleanplate-job-") as folder:
        for name in PACKAGES:
            shutil.copytree(CHECKOUT / name, Path(folder) / name, ignore=LEFT_OUT)
        for name, file in files.items():
            shutil.copy(file, Path(folder) / name)
        yield Path(folder)


def renamed(arguments: Sequence[str], names: Mapping[str, str]) -> list[str]:
    """A command line with some of its values, also those written as `--option=value`, under other
    names.
    """
    found = []
    for argument in arguments:
        option, equals, value = argument.partition("=")
        if argument in names:
            found.append(names[argument])
        elif option.startswith("--") and equals and value in names:
            found.append(f"{option}={names[value]}")
        else:
            found.append(argument)
    return found
