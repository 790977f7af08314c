"""The folder that a job uploads: the packages, and the files that its command line names.

Nothing else of the checkout is uploaded, since it may hold pictures and models.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

PACKAGES = ("cleanplate", "cluster", "flows", "operators")
CHECKOUT = Path(__file__).resolve().parents[1]
EXCLUDED = shutil.ignore_patterns("__pycache__", "*.pyc", "kubernetes")


@contextmanager
def pack_working_dir(files: Mapping[str, Path]) -> Iterator[Path]:
    """A temporary folder with the packages, and with these files under the names given."""
    with TemporaryDirectory(prefix="cleanplate-job-") as folder:
        for name in PACKAGES:
            shutil.copytree(CHECKOUT / name, Path(folder) / name, ignore=EXCLUDED)
        for name, file in files.items():
            shutil.copy(file, Path(folder) / name)
        yield Path(folder)


def rename_values(arguments: Sequence[str], names: Mapping[str, str]) -> list[str]:
    """The arguments with every value in `names` replaced, also in the form `--option=value`."""
    new_arguments = []
    for argument in arguments:
        option, equals, value = argument.partition("=")
        if argument in names:
            new_arguments.append(names[argument])
        elif option.startswith("--") and equals and value in names:
            new_arguments.append(f"{option}={names[value]}")
        else:
            new_arguments.append(argument)
    return new_arguments
