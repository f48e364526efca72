"""What --json prints is what docs/json says, for every verb."""

from __future__ import annotations

import json
import time
from typing import Any, Final

import pytest

from spoolq import Spool
from spoolq.files.store import FileBackend
from spoolq.why import CODES, VIEWS
from tests.cli.conftest import Shell
from tests.cli.scene import play
from tests.cli.schema import DIRECTORY, problems, schema, undescribed
from tests.support import FakeClock

CALLS: dict[str, list[str]] = {
    "list": ["list"],
    "job": ["show", "2"],
    "why": ["why", "5"],
    "wait": ["wait", "2"],
    "stats": ["stats"],
    "workers": ["workers"],
    "locks": ["locks"],
    "queue": ["queue", "pause", "mail", "--why", "disk full"],
    "queues": ["queue", "list"],
    "logs": ["logs", "2"],
    "doctor": ["doctor"],
    "clean": ["clean"],
    "retry": ["retry", "2"],
    "edit": ["edit", "5", "--priority", "3"],
    "pause": ["pause", "1"],
    "resume": ["resume", "1"],
    "hold": ["hold", "5"],
    "release": ["release", "5"],
    "remove": ["remove", "1", "2"],
    "kill": ["kill", "5"],
    "is": ["is", "failed", "2"],
    "count": ["count"],
    "note": ["note", "2", "a=1"],
    "lock": ["lock", "--ttl", "9", "mine"],
    "events": ["events", "--since", "3h"],
    "progress": ["progress", "2", "61%"],
    "compat": ["compat", "ts"],
    "completions": ["completions", "fish"],
    "unlock": ["unlock", "gpu"],
    "schedule": ["schedule", "nightly"],
    "schedules": ["schedule"],
    "dispatched": ["schedule", "-d"],
    "added": ["add", "true"],
    "added-many": ["enqueue", "--from", "/etc/hostname", "resize"],
    "dry-run": ["add", "--dry-run", "--unique=k", "true"],
    "process": ["process", "-q", "nothing"],
    "repair": ["repair"],
    "install-cron": ["install", "cron", "--print"],
    "install-systemd": ["install", "systemd", "--print"],
    "stored": ["schedule", "-e", "daily", "-c", "0 3 * * *", "-t", "t"],
    "firings": ["schedule", "--next", "2", "nightly"],
    "fired": ["schedule", "--run", "nightly"],
    "error": ["show", "99"],
}
_BELOW: Final = ("queue", "install")  # their own verbs take --json


@pytest.fixture
def scene(shell: Shell) -> Shell:
    play(shell.root)
    spool = Spool(shell.root, durability="none")
    spool.lock("gpu", 60)
    spool.schedule("nightly", "0 3 * * *", "cleanup")
    late = FakeClock(time.time() - 3600)
    FileBackend(str(shell.root), clock=late, durability="none").schedule("busy", "* * * * *", "t")
    spool.close_queue("gpu", why="moving")
    return shell


@pytest.mark.parametrize("name", CALLS)
def test_a_verb_prints_what_its_schema_says(scene: Shell, name: str) -> None:
    verb, *rest = CALLS[name]
    words = [verb, *rest, "--json"] if verb in _BELOW else [verb, "--json", *rest]
    ran = scene.run(*words)

    value = json.loads(ran.err if name == "error" else ran.out)

    assert [*problems(value, schema(name))] == []
    assert [*undescribed(value, schema(name))] == []


@pytest.mark.parametrize(
    ("words", "code", "kind"),
    [
        (["show", "--json", "99"], 3, "not-found"),
        (["list", "-o", "json", "99"], 3, "not-found"),
        (["show", "99", "--json"], 3, "not-found"),
        (["list", "--json", "--nonsense"], 2, "usage"),
        (["queue", "pause", "--json"], 2, "usage"),
        (["lst", "--json"], 2, "usage"),
        (["add", "-q", "gpu", "--json", "true"], 6, "closed"),
        (["--root", "/proc/nowhere", "count", "--json"], 5, "unusable"),
        (["lock", "--json", "gpu"], 2, "usage"),
        (["unlock", "--json", "nothing"], 3, "not-found"),
    ],
)
def test_who_asks_for_json_is_given_errors_in_it(
    scene: Shell, words: list[str], code: int, kind: str
) -> None:
    ran = scene.run(*words)

    error = json.loads(ran.err)["error"]
    assert (ran.code, ran.out, error["code"], error["kind"]) == (code, "", code, kind)


def test_words_of_a_job_that_look_like_it_do_not_ask_for_json(scene: Shell) -> None:
    ran = scene.run("add", "-q", "gpu", "true", "--json")

    assert (ran.code, ran.err[:8]) == (6, "spoolq: ")


def test_every_schema_belongs_to_a_verb_that_is_checked() -> None:
    assert {path.name.partition(".")[0] for path in DIRECTORY.glob("*.json")} == CALLS.keys()


def test_the_schemas_know_every_reason_and_every_view() -> None:
    properties = schema("job")["properties"]

    assert properties["reason"]["properties"]["code"]["enum"] == [*CODES]
    assert properties["view"]["enum"] == [*VIEWS]


def test_every_line_of_jsonl_is_an_item_of_the_listing(scene: Shell) -> None:
    lines = scene.ok("list", "-o", "jsonl").splitlines()

    assert len(lines) == len(scene.json("list")) == 7
    assert all(not [*problems(json.loads(line), schema("job"))] for line in lines)


@pytest.mark.parametrize("verb", ["show", "why", "wait"])
def test_several_ids_make_an_array(scene: Shell, verb: str) -> None:
    one: Any = json.loads(scene.run(verb, "--json", "1").out)
    both: Any = json.loads(scene.run(verb, "--json", "1-2").out)

    assert one["id"] == 1
    assert [item["id"] for item in both] == ([1, 2] if verb == "wait" else [2, 1])


@pytest.mark.parametrize(
    ("value", "rules"),
    [
        (True, {"type": "integer"}),
        ("x", {"enum": ["y"]}),
        ("x", {"type": "string", "pattern": "^y"}),
        ({}, {"type": "object", "required": ["a"]}),
        ({"a": None}, {"properties": {"a": {"type": "number"}}}),
        ([1, "2"], {"items": {"type": "integer"}}),
    ],
)
def test_the_checker_finds_what_is_wrong(value: object, rules: dict[str, Any]) -> None:
    assert [*problems(value, rules)] != []


def test_the_environment_chooses_the_form_of_listings_unless_the_words_do(scene: Shell) -> None:
    scene.env["SPOOLQ_FORMAT"] = "json"

    assert len(json.loads(scene.ok("list"))) == 7
    assert scene.ok("list", "-o", "ids", "state:failed") == "2"
    assert len(json.loads(scene.ok("workers"))) == 2

    scene.env["SPOOLQ_FORMAT"] = "yaml"
    assert scene.run("list").code == 2
