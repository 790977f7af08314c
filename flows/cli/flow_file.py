"""Load a user's flow from a Python file."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

from flows.engine.session import ship_by_value
from flows.flow import Flow, FlowError
from operators.rows.failure import RunError


def load_flow(reference: str) -> Flow:
    """Load the Flow that the reference FILE.py:NAME points to.

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
    try:
        specification.loader.exec_module(module)
    except FlowError:
        raise
    except Exception as error:
        raise RunError("flow_invalid", f"{file}: {type(error).__name__}: {error}") from error
    flow = getattr(module, name, None)
    if not isinstance(flow, Flow):
        raise RunError("flow_missing", f"{file} has no Flow named {name!r}")
    ship_by_value(module)
    return flow
