"""Arrows point down: who may import whom, derived from the source, and who may touch what."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from functools import cache
from graphlib import CycleError, TopologicalSorter
from pathlib import Path
from typing import Final

import pytest

import spoolq
from spoolq.files.fs import Filesystem

PACKAGE: Final = Path(spoolq.__file__).parent
MODULES: Final = sorted(
    ".".join(("spoolq", *path.relative_to(PACKAGE).with_suffix("").parts)).removesuffix(".__init__")
    for path in PACKAGE.rglob("*.py")
)

# Floors of the house, lowest first. A module may import from its own floor and from those below;
# the prefix that fits best says which floor a module is on.
FLOORS: Final = (
    (
        "spoolq.clock",
        "spoolq.errors",
        "spoolq.bell",
        "spoolq.liveness",
        "spoolq.version",
        "spoolq.environments",
        "spoolq.root",
        "spoolq.states",
        "spoolq.tuples",
    ),
    ("spoolq.notify", "spoolq.journal", "spoolq.executables"),
    ("spoolq.model",),
    ("spoolq.gates",),
    ("spoolq.claimed", "spoolq.transitions", "spoolq.settings", "spoolq.cron"),
    ("spoolq.asked", "spoolq.schedules", "spoolq.control"),
    ("spoolq.why", "spoolq.selection", "spoolq.happenings"),
    ("spoolq.backend",),
    ("spoolq.memory", "spoolq.files"),
    ("spoolq.events", "spoolq.guard", "spoolq.logs", "spoolq.runners"),
    ("spoolq.middleware", "spoolq.tagging"),
    (
        "spoolq.registry",
        "spoolq.declared",
        "spoolq.listing",
        "spoolq.lookup",
        "spoolq.results",
        "spoolq.arguments",
    ),
    ("spoolq.job",),
    ("spoolq.loop", "spoolq.flows"),
    ("spoolq.tasks", "spoolq.performing", "spoolq.worker"),
    ("spoolq.decorators", "spoolq.options"),
    ("spoolq.spool",),
    ("spoolq",),
    ("spoolq.process", "spoolq.doctor", "spoolq.testing"),
    ("spoolq.cli",),
    ("spoolq.contrib",),
    ("spoolq.pytest_plugin",),
    ("spoolq.__main__",),
)

# The file backend by itself, lowest first: the docstring of spoolq/files/__init__.py read upwards.
FILES: Final = (
    ("records", "names"),
    ("fs",),
    ("layout",),
    ("chain",),
    ("counters", "places", "doorbell", "endings", "queues", "environments"),
    ("fresh",),
    ("tokens", "producer"),
    ("catalog",),
    ("census", "filters"),
    ("viewer",),
    ("locks", "registry", "families", "uniques"),
    ("limits",),
    ("gates",),
    ("publish",),
    ("settle",),
    ("slots",),
    ("inbox", "claims", "unique_jobs", "schedules"),
    ("repair",),
    ("store",),
)

# What other modules of the file backend may use of `os`: it looks and changes nothing.
READING: Final = frozenset(
    {
        "environ", "getpid", "geteuid", "kill", "lstat", "path", "register_at_fork", "stat",
        "statvfs", "uname", "urandom",
    }
)  # fmt: skip


@cache
def tree(module: str) -> ast.Module:
    relative = module.split(".")[1:]
    path = PACKAGE.joinpath(*relative)
    source = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
    return ast.parse(source.read_text(encoding="utf-8"), str(source))


def imported(module: str) -> set[str]:
    """Every module that this one imports, inside functions too; not what only types are for."""
    return set(_imports(tree(module)))


def _imports(node: ast.AST) -> Iterator[str]:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.Import):
            yield from (alias.name for alias in child.names)
        elif isinstance(child, ast.ImportFrom):
            assert child.level == 0, "imports are absolute"
            assert child.module is not None
            for alias in child.names:
                inner = f"{child.module}.{alias.name}"
                yield inner if inner in MODULES else child.module
        elif isinstance(child, ast.If) and ast.unparse(child.test) == "TYPE_CHECKING":
            for other in child.orelse:
                yield from _imports(other)
        else:
            yield from _imports(child)


def floor(module: str) -> int:
    fitting = [
        (len(prefix), number)
        for number, prefixes in enumerate(FLOORS)
        for prefix in prefixes
        if module == prefix or (prefix != "spoolq" and module.startswith(f"{prefix}."))
    ]
    assert fitting, f"{module} is on no floor: say in FLOORS where it belongs"
    return max(fitting)[1]


def calls(module: str) -> Iterator[tuple[str, int]]:
    """Every `os.<name>` that a module mentions, with its line."""
    for node in ast.walk(tree(module)):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            if node.value.id == "os":
                yield node.attr, node.lineno
        elif isinstance(node, ast.ImportFrom) and node.module == "os":
            yield from ((alias.name, node.lineno) for alias in node.names)


def test_no_module_imports_from_a_floor_above_it() -> None:
    upwards = [
        f"{module} imports {other}"
        for module in MODULES
        for other in imported(module)
        if other in MODULES and floor(other) > floor(module)
    ]
    assert upwards == []


def test_the_modules_of_the_file_backend_use_only_those_below_them() -> None:
    number = {name: rank for rank, names in enumerate(FILES) for name in names}
    upwards = [
        f"{module} imports {other}"
        for module in MODULES
        if module.startswith("spoolq.files.")
        for other in imported(module)
        if other.startswith("spoolq.files.")
        and number[other.split(".")[2]] >= number[module.split(".")[2]]
    ]
    assert upwards == []


def test_every_module_of_the_file_backend_has_its_rank_and_is_in_the_package_docstring() -> None:
    modules = {name.split(".")[2] for name in MODULES if name.startswith("spoolq.files.")}
    text = ast.get_docstring(tree("spoolq.files")) or ""

    assert modules == {name for names in FILES for name in names}
    assert [name for name in modules if name not in text.split()] == []


def test_the_imports_of_the_package_have_no_cycle() -> None:
    graph = {
        module: {other for other in imported(module) if other in MODULES} for module in MODULES
    }
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        pytest.fail(" -> ".join(error.args[1]))


def test_only_the_disk_module_of_the_file_backend_changes_the_disk() -> None:
    elsewhere = [
        f"{module}:{line}: os.{name}"
        for module in MODULES
        if module.startswith("spoolq.files") and module != "spoolq.files.fs"
        for name, line in calls(module)
        if name not in READING
    ]
    assert elsewhere == []


def test_the_file_backend_opens_files_for_writing_nowhere_but_in_the_disk_module() -> None:
    found = [
        f"{module}:{node.lineno}"
        for module in MODULES
        if module.startswith("spoolq.files") and module != "spoolq.files.fs"
        for node in ast.walk(tree(module))
        if isinstance(node, ast.Call)
        and (
            (ast.unparse(node.func) == "open" and _writes(node))
            or ast.unparse(node.func) == "os.open"
            or ast.unparse(node.func).startswith(("shutil.", "tempfile."))
        )
    ]
    assert found == []


def _writes(call: ast.Call) -> bool:
    modes = [*call.args[1:2], *(word.value for word in call.keywords if word.arg == "mode")]
    return any(ast.unparse(mode) not in ("'r'", "'rb'") for mode in modes)


def test_what_the_disk_module_changes_goes_through_its_replaceable_system_calls() -> None:
    """The seam of every crash and fault test: a call beside it would be a change they never see."""
    seam = {name.removeprefix("sys_") for name in vars(Filesystem) if name.startswith("sys_")}
    seam.add("posix_fallocate")
    changing = {"write", "fsync", "chmod", "chown", "rename", "link", "unlink", "mkdir", "rmdir"}
    body = next(
        node
        for node in tree("spoolq.files.fs").body
        if isinstance(node, ast.ClassDef) and node.name == "Filesystem"
    )
    beside = [
        ast.unparse(node)
        for method in body.body
        if isinstance(method, ast.FunctionDef)
        for node in ast.walk(method)
        if isinstance(node, ast.Attribute) and ast.unparse(node.value) == "os"
        if node.attr in seam | changing and node.attr != "open"
    ]
    assert beside == []


@pytest.mark.parametrize(
    "module",
    ["transitions", "schedules", "cron", "why", "selection", "files.names", "files.records"],
)
def test_pure_modules_neither_read_nor_write_anything(module: str) -> None:
    name = f"spoolq.{module}"
    allowed = {"urandom", "register_at_fork"} if module == "files.names" else set()
    outside = {
        "asyncio", "ctypes", "fcntl", "io", "pathlib", "shutil", "socket", "subprocess",
        "tempfile", "threading", "time",
    }  # fmt: skip
    opened = [
        node for node in ast.walk(tree(name)) if isinstance(node, ast.Name) and node.id == "open"
    ]

    assert [call for call, _ in calls(name) if call not in allowed] == []
    assert imported(name) & outside == set()
    assert "os" not in imported(name) or allowed
    assert opened == []


def test_nobody_but_the_clock_module_asks_what_time_it_is() -> None:
    askers = {
        f"{module}:{node.lineno}: {ast.unparse(node)}"
        for module in MODULES
        for node in ast.walk(tree(module))
        if isinstance(node, ast.Attribute) and node.attr in {"now", "today", "utcnow"}
        if ast.unparse(node.value).rpartition(".")[2] in {"date", "datetime"}
    }

    assert {module for module in MODULES if "time" in imported(module)} == {"spoolq.clock"}
    assert askers == set()


def test_a_backend_knows_nothing_of_the_spool_above_it() -> None:
    backends = [name for name in MODULES if name.startswith(("spoolq.files", "spoolq.memory"))]
    above = {name for name in MODULES if floor(name) > floor("spoolq.files")}

    assert {name: imported(name) & above for name in backends} == {name: set() for name in backends}


def test_the_memory_backend_and_the_file_backend_do_not_know_each_other() -> None:
    files = {name for name in MODULES if name.startswith("spoolq.files")}
    assert imported("spoolq.memory") & files == set()
    assert all("spoolq.memory" not in imported(name) for name in files)
