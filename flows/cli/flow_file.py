"""Load a user's flow from a Python file."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Iterable
from pathlib import Path
from types import ModuleType

from flows.engine.session import ship_by_value
from flows.flow import Flow, FlowError
from operators.rows.failure import RunError


def load_flow(reference: str) -> Flow:
    """Load the Flow that the reference FILE.py:NAME points to.

    The file may import its neighbours. Workers need neither it nor them, because their code is
    pickled with the flow.

    Raises RunError flow_missing if there is no such file or Flow, RunError flow_invalid if the
    file fails, and FlowError if the operators of the file's flow do not fit together.
    """
    file, _, name = reference.rpartition(":")
    path = Path(file)
    if not name or not path.is_file():
        raise RunError("flow_missing", f"{reference} is not FILE.py:FLOW with an existing file")
    module_name = f"user_flow_{path.stem}"
    specification = importlib.util.spec_from_file_location(module_name, path)
    if specification is None or specification.loader is None:
        raise RunError("flow_missing", f"{file} is not a Python file")
    module = importlib.util.module_from_spec(specification)
    sys.modules[module_name] = module
    loaded, folder = set(sys.modules), path.resolve().parent
    sys.path.insert(0, str(folder))
    try:
        specification.loader.exec_module(module)
    except FlowError:
        raise
    except Exception as error:
        raise RunError("flow_invalid", f"{file}: {type(error).__name__}: {error}") from error
    finally:
        sys.path.remove(str(folder))
    flow = getattr(module, name, None)
    if not isinstance(flow, Flow):
        raise RunError("flow_missing", f"{file} has no Flow named {name!r}")
    ship_by_value(module)
    for neighbour in _neighbours(folder, set(sys.modules) - loaded):
        ship_by_value(neighbour)
    return flow


def _neighbours(folder: Path, names: Iterable[str]) -> list[ModuleType]:
    """The modules among these that come from a folder, with its subfolders."""
    modules = [sys.modules[name] for name in sorted(names)]
    files = [Path(module.__file__) if getattr(module, "__file__", None) else None for module in modules]  # type: ignore[arg-type]
    return [
        module
        for module, file in zip(modules, files, strict=True)
        if file is not None and folder in file.resolve().parents and "site-packages" not in file.parts
    ]
