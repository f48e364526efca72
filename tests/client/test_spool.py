"""Opening a spool: what names one, and what is refused."""

from __future__ import annotations

import subprocess
import sys
from datetime import timedelta
from pathlib import Path

import pytest

import spoolq
from spoolq import Backend, Spool
from spoolq.errors import InvalidType, InvalidValue
from spoolq.memory import MemoryBackend
from spoolq.root import default_root


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    for name in ("SPOOLQ_ROOT", "MINIQ_ROOT", "XDG_STATE_HOME"):
        monkeypatch.delenv(name, raising=False)
    return monkeypatch


def test_a_path_is_a_spool_in_that_directory(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "spool")
    assert spool.root == str(tmp_path / "spool")
    assert (tmp_path / "spool" / "FORMAT").exists()


def test_a_relative_path_stays_the_same_spool_when_the_directory_changes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    spool = Spool("spool")
    monkeypatch.chdir("/")
    spool.enqueue("foo")
    assert spool.root == str(tmp_path / "spool")


def test_memory_is_a_spool_without_a_directory() -> None:
    spool = Spool("memory:")
    assert spool.root is None
    assert isinstance(spool.backend, MemoryBackend)


def test_without_a_path_the_environment_decides(environment: pytest.MonkeyPatch) -> None:
    environment.setenv("MINIQ_ROOT", "/srv/miniq")
    assert default_root() == "/srv/miniq"
    environment.setenv("SPOOLQ_ROOT", "/srv/spoolq")
    assert default_root() == "/srv/spoolq"


def test_without_an_environment_it_is_the_users_state_directory(
    environment: pytest.MonkeyPatch,
) -> None:
    environment.setenv("HOME", "/home/ada")
    assert default_root() == "/home/ada/.local/state/spoolq"
    environment.setenv("XDG_STATE_HOME", "relative")
    assert default_root() == "/home/ada/.local/state/spoolq"
    environment.setenv("XDG_STATE_HOME", "/var/ada")
    assert default_root() == "/var/ada/spoolq"


def test_an_empty_variable_counts_as_unset(environment: pytest.MonkeyPatch) -> None:
    environment.setenv("SPOOLQ_ROOT", "")
    environment.setenv("XDG_STATE_HOME", "/var/ada")
    assert default_root() == "/var/ada/spoolq"


@pytest.mark.parametrize("url", ["", "postgresql://localhost/minion"])
def test_what_is_no_path_is_refused(url: str) -> None:
    with pytest.raises(InvalidValue):
        Spool(url)


def test_a_number_is_no_spool() -> None:
    with pytest.raises(InvalidType):
        Spool(7)  # type: ignore[arg-type]  # the point of the test


def test_options_reach_the_backend() -> None:
    spool = Spool("memory:", missing_after=7, remove_after=timedelta(hours=1), backoff=float)
    backend = spool.backend
    assert (backend.missing_after, backend.remove_after) == (7, 3600)
    assert backend.backoff is float


def test_a_ready_made_backend_takes_no_options() -> None:
    backend: Backend = MemoryBackend()
    assert Spool(backend).backend is backend
    with pytest.raises(InvalidType):
        Spool(backend, missing_after=7)


def test_every_exported_name_is_there() -> None:
    for name in spoolq.__all__:
        assert name in dir(spoolq)
        assert getattr(spoolq, name).__name__ == name


def test_a_name_that_is_not_exported_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'Minion'"):
        _ = spoolq.Minion


def test_importing_the_package_loads_nothing_of_it() -> None:
    code = "import sys, spoolq; print([m for m in sys.modules if m.startswith('spoolq.')])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_stats_history_repair_and_reset_are_the_backends(spool: Spool) -> None:
    spool.enqueue("foo")
    assert spool.stats()["inactive_jobs"] == 1
    assert len(spool.history()["daily"]) == 24
    assert spool.repair() is spool
    spool.reset(all=True)
    assert spool.stats()["inactive_jobs"] == 0


def test_an_option_of_the_wrong_kind_is_refused(spool: Spool) -> None:
    with pytest.raises(InvalidType, match="missing_after"):
        Spool("memory:", missing_after="2 minutes")  # type: ignore[arg-type]  # the point
    with pytest.raises(InvalidType, match="backoff"):
        Spool("memory:", backoff=15)  # type: ignore[arg-type]  # the point
    with pytest.raises(InvalidValue, match="durability"):
        Spool("memory:", durability="some")
    with pytest.raises(InvalidType, match="'enqueue'"):
        spool.on("enqueue", 7)  # type: ignore[arg-type]  # the point


def test_progress_is_a_number(spool: Spool) -> None:
    job = spool.enqueue("foo")

    with pytest.raises(InvalidType, match="done"):
        job.progress("half")  # type: ignore[arg-type]  # the point
    with pytest.raises(InvalidType, match="total"):
        job.progress(1, "all")  # type: ignore[arg-type]  # the point
