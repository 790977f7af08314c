"""The fixtures that all tests share, by module, and the settings of Hypothesis."""

from __future__ import annotations

import hypothesis

pytest_plugins = [
    "tests.fixtures.pictures",
    "tests.fixtures.cli",
    "tests.fixtures.s3",
    "tests.fixtures.ray",
    "tests.fixtures.models",
    "tests.fixtures.chromium",
    "tests.fixtures.reviewed_run",
    "tests.fixtures.http_model",
]

hypothesis.settings.register_profile("unhurried", deadline=None)
hypothesis.settings.load_profile("unhurried")
