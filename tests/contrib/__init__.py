"""Frameworks: each with the real one, in a real program, with a real worker."""

from __future__ import annotations

import importlib
import os

import pytest


def need(*modules: str) -> None:
    """Skip the module that calls this where these are not installed, but never in CI."""
    for name in modules:
        if "CI" in os.environ:
            importlib.import_module(name)
        else:
            pytest.importorskip(name)
