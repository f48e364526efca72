"""spoolq.toml: what everybody who shares a spool agrees on."""

from __future__ import annotations

from pathlib import Path

import pytest

from spoolq.errors import InvalidValue, SpoolUnavailable
from spoolq.settings import Settings, parse_settings
from tests.files.conftest import OpenSpool


def test_an_empty_file_leaves_every_default() -> None:
    assert parse_settings("") == Settings()


def test_every_setting_can_be_set() -> None:
    text = """
        durability = "none"
        mode = "group"
        missing_after = 1800
        remove_after = 60.5
        stuck_after = 7
        low_water = 1048576
        ballast = 0
        max_log = 1000
        pass_env = ["LANG"]
        env = { GREETING = "hello" }
        [schedules.nightly]
        cron = "0 3 * * *"
        task = "cleanup"
    """
    settings = parse_settings(text)

    assert settings == Settings(
        durability="none",
        mode="group",
        missing_after=1800,
        remove_after=60.5,
        stuck_after=7,
        low_water=1048576,
        ballast=0,
        max_log=1000,
        pass_env=("LANG",),
        env={"GREETING": "hello"},
        schedules={"nightly": {"cron": "0 3 * * *", "task": "cleanup"}},
    )
    assert all(field in text for field in Settings._fields)


def test_all_problems_are_named_at_once() -> None:
    text = """
        durabillity = "none"
        mode = "public"
        missing_after = "soon"
        remove_after = -1
        low_water = true
        stuck_after = nan
        env = { A = 1, B = "b", C = 2 }
        pass_env = ["LANG", 7]
    """
    with pytest.raises(InvalidValue) as caught:
        parse_settings(text)

    message = str(caught.value)
    for wrong in (
        "durabillity", "mode", "missing_after", "remove_after", "low_water", "stuck_after",
        "env: 'A'", "env: 'C'", "pass_env: 7",
    ):  # fmt: skip
        assert wrong in message
    assert "'B'" not in message
    assert "\n" not in message


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"mode =", "TOML"),
        (b'mode = "group', "TOML"),
        (b"\xff", "spoolq.toml"),
        (b"colour = 1", "unknown setting 'colour'"),
    ],
)
def test_a_spool_whose_settings_cannot_be_understood_is_not_opened(
    root: Path, open_spool: OpenSpool, content: bytes, says: str
) -> None:
    root.mkdir(mode=0o700)
    (root / "spoolq.toml").write_bytes(content)

    with pytest.raises(SpoolUnavailable, match=says):
        open_spool()

    assert [path.name for path in root.iterdir()] == ["spoolq.toml"]


def test_a_spool_takes_its_settings_from_its_file(root: Path, open_spool: OpenSpool) -> None:
    root.mkdir(mode=0o700)
    (root / "spoolq.toml").write_text("missing_after = 5\nremove_after = 6\nstuck_after = 7\n")

    files = open_spool()

    assert (files.missing_after, files.remove_after, files.stuck_after) == (5, 6, 7)


def test_what_the_caller_says_goes_before_the_file(root: Path, open_spool: OpenSpool) -> None:
    root.mkdir(mode=0o700)
    (root / "spoolq.toml").write_text("missing_after = 5\n")

    assert open_spool(missing_after=0).missing_after == 0


def test_a_durability_that_is_no_such_word_is_refused(open_spool: OpenSpool) -> None:
    with pytest.raises(InvalidValue, match="durability"):
        open_spool(durability="some")
