"""The printed units, as systemd-analyze reads them."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from spoolq.cli.installing import Site, fill, read_units

ODD = '/srv/a b/50%/"q" $HOME/sp\\ool'

needs_systemd = pytest.mark.skipif(
    shutil.which("systemd-analyze") is None and "CI" not in os.environ,
    reason="there is no systemd-analyze here",
)

NAMES = sorted(read_units(user=False))
USER_NAMES = sorted(read_units(user=True))
SERVICES = [name for name in NAMES if name.endswith(".service")]


def unit_directory(path: Path, site: Site, *, user: bool = False, drop_in: str = "") -> Path:
    """The units of a place, as systemd wants to find them."""
    for name, text in read_units(user=user).items():
        if "/" in name and not name.endswith(f"/{drop_in}.conf"):
            continue
        file = path / name
        file.parent.mkdir(exist_ok=True)
        file.write_text(fill(text, site))
    return path


def analyze(*words: str, cwd: Path) -> str:
    """What systemd-analyze says about units in this directory; it has to be content with them."""
    ran = subprocess.run(
        ["systemd-analyze", *words], cwd=cwd, text=True, capture_output=True, check=False
    )
    said = ran.stdout + ran.stderr
    assert ran.returncode == 0, said
    return said


def exposure(unit: str, cwd: Path) -> float:
    said = analyze("security", "--offline=true", f"./{unit}", cwd=cwd)
    found = re.search(r"exposure level for \S+: (\d+\.\d)", said)
    assert found, said
    return float(found[1])


@pytest.fixture
def site(tmp_path: Path) -> Site:
    """A program that exists, because `verify` looks; a root that needs every kind of quoting."""
    program = tmp_path / "a b" / "spoolq"
    program.parent.mkdir()
    program.symlink_to("/bin/true")
    return Site((str(program),), ODD, "games")


def lines(text: str, key: str) -> list[str]:
    return re.findall(rf"^{key}=(.*)$", text, re.MULTILINE)


@needs_systemd
@pytest.mark.parametrize("name", [name for name in NAMES if "/" not in name])
def test_systemd_finds_nothing_wrong_with_a_unit(name: str, tmp_path: Path, site: Site) -> None:
    where = unit_directory(tmp_path, site)
    instance = name.replace("@.", "@mail.")
    (where / instance).write_text((where / name).read_text())

    assert analyze("verify", "--man=no", f"./{instance}", cwd=where) == ""


@needs_systemd
@pytest.mark.parametrize("name", USER_NAMES)
def test_systemd_finds_nothing_wrong_with_a_unit_of_a_user(
    name: str, tmp_path: Path, site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    where = unit_directory(tmp_path, site, user=True)
    instance = name.replace("@.", "@mail.")
    (where / instance).write_text((where / name).read_text())

    assert analyze("verify", "--man=no", "--user", f"./{instance}", cwd=where) == ""


@needs_systemd
@pytest.mark.parametrize("name", SERVICES)
def test_a_service_is_exposed_to_less_than_two(name: str, tmp_path: Path, site: Site) -> None:
    where = unit_directory(tmp_path, site)
    instance = name.replace("@.", "@mail.")
    (where / instance).write_text((where / name).read_text())

    assert exposure(instance, where) < 2.0


@needs_systemd
def test_the_strict_drop_in_lowers_the_exposure_and_the_relaxed_one_raises_it(
    tmp_path: Path, site: Site
) -> None:
    levels = {}
    for drop_in in ("strict", "none", "relaxed"):
        where = tmp_path / drop_in
        where.mkdir()
        unit_directory(where, site, drop_in=drop_in)
        levels[drop_in] = exposure("spoolq-worker.service", where)
        said = analyze("verify", "--man=no", "./spoolq-worker.service", cwd=where)
        assert said == "", said

    assert levels["strict"] < 1.0 < levels["none"] < levels["relaxed"] < 4.0, levels


@pytest.mark.parametrize("user", [False, True])
def test_nothing_of_the_placeholders_is_left(user: bool, site: Site) -> None:
    filled = [fill(text, site) for text in read_units(user=user).values()]

    assert [text for text in filled if "/usr/local/bin/spoolq" in text] == []
    assert [text for text in filled if "/srv/spool" in text] == []
    assert [text for text in filled if "User=spoolq" in text] == []


def test_a_worker_is_told_to_systemd_and_watched() -> None:
    for user in (False, True):
        text = read_units(user=user)["spoolq-worker.service"]

        assert lines(text, "Type") == ["notify"]
        assert lines(text, "NotifyAccess") == ["main"]
        assert lines(text, "WatchdogSec") == ["60"]
        assert lines(text, "KillMode") == ["mixed"]


def test_the_instance_of_the_template_is_the_queue(site: Site) -> None:
    text = fill(read_units(user=False)["spoolq-worker@.service"], site)

    assert lines(text, "ExecStart")[0].endswith('spoolq" worker -q "%i"')


def test_a_queue_goes_into_every_command_but_that_of_the_template(tmp_path: Path) -> None:
    site = Site((sys.executable, "-m", "spoolq"), "/srv/x", "games", "a %b $c")
    units = read_units(user=False)
    worker = lines(fill(units["spoolq-worker.service"], site), "ExecStart")
    process = lines(fill(units["spoolq-process.service"], site), "ExecStart")
    template = lines(fill(units["spoolq-worker@.service"], site), "ExecStart")

    assert worker == [f'{sys.executable} -m spoolq worker -q "a %%b $$c"']
    assert process == [f'{sys.executable} -m spoolq process -q "a %%b $$c"']
    assert template == [f'{sys.executable} -m spoolq worker -q "%i"']


def test_the_root_is_quoted_where_systemd_unquotes_and_plain_where_it_does_not(
    site: Site,
) -> None:
    units = read_units(user=False)
    worker = fill(units["spoolq-worker.service"], site)
    path = fill(units["spoolq-process.path"], site)
    quoted = ODD.replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%")

    assert lines(worker, "Environment") == [f'"SPOOLQ_ROOT={quoted}"']
    assert lines(worker, "ReadWritePaths") == [f'"{quoted}"']
    assert lines(worker, "RequiresMountsFor") == [f'"{quoted}"']
    assert lines(path, "PathChanged")[0] == f"{ODD.replace('%', '%%')}/ids"


@pytest.mark.parametrize(
    ("root", "home", "temporary"),
    [
        ("/srv/spool", "yes", "yes"),
        ("/home/me/spool", "read-only", "yes"),
        ("/var/tmp/spool", "yes", "no"),
    ],
)
def test_a_spool_in_a_home_or_in_tmp_is_not_hidden_from_its_worker(
    root: str, home: str, temporary: str
) -> None:
    text = fill(read_units(user=False)["spoolq-worker.service"], Site(("/usr/bin/x",), root, "me"))

    assert lines(text, "ProtectHome") == [home]
    assert lines(text, "PrivateTmp") == [temporary]


def test_the_services_are_hardened_alike() -> None:
    units = read_units(user=False)
    hardening = {units[name].partition("# Hardening.")[2].partition("\n[")[0] for name in SERVICES}

    assert len({text.strip() for text in hardening}) == 1
    assert all("NoNewPrivileges=yes" in text for text in hardening)
