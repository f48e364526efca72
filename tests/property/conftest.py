"""How hard the property tests look: `HYPOTHESIS_PROFILE=ci` for hours on end, `dev` by default."""

from __future__ import annotations

import os

from hypothesis import HealthCheck, settings

_SLOW_DISK = (HealthCheck.too_slow, HealthCheck.data_too_large)

settings.register_profile(
    "dev",
    max_examples=40 if "CI" in os.environ else 20,
    stateful_step_count=40,
    deadline=None,
    database=None,
    derandomize=True,
    suppress_health_check=_SLOW_DISK,
)
settings.register_profile(
    "ci",
    max_examples=500,
    stateful_step_count=80,
    deadline=None,
    database=None,
    print_blob=True,
    suppress_health_check=_SLOW_DISK,
)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "dev"))
