"""Every statement of Minion's contract that applies by now is claimed by a test.

A test claims statements with `@pytest.mark.minion(numbers…)`. What nobody claims must stand below
with a reason, and what stands below must not be claimed: so the table stays true.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Final

TESTS: Final = Path(__file__).parent

# Sections 2.1-2.21, 2.23-2.26. The others describe result promises and Minion's web interface.
STATEMENTS: Final = {*range(1, 441)}

PERL_LOOP: Final = "about the event loop of Perl, which Python does not have"

NOT_APPLICABLE: Final[dict[int, str]] = {
    65: PERL_LOOP,
    181: "when an expired hold is deleted cannot be seen from outside; 180 says what can",
    184: "about tables of PostgreSQL",
    404: PERL_LOOP,
    430: "a bare spoolq is the status; off a terminal its usage is an error, as cli.md wants it",
    285: "each schedule fires in one step by itself: docs/decisions/0015",
}


def test_every_statement_that_applies_is_claimed_by_a_test() -> None:
    unclaimed = STATEMENTS - NOT_APPLICABLE.keys() - claims().keys()

    assert not unclaimed, f"no test claims {sorted(unclaimed)}"


def test_no_test_claims_what_is_said_not_to_apply() -> None:
    both = NOT_APPLICABLE.keys() & claims().keys()

    assert not both, "\n".join(f"{number}: {claims()[number]}" for number in sorted(both))


def test_every_claim_names_a_statement_of_the_contract() -> None:
    unknown = {number: where for number, where in claims().items() if not 1 <= number <= 473}

    assert not unknown


@cache
def claims() -> dict[int, list[str]]:
    """For each statement that is claimed, the files that claim it."""
    found: dict[int, list[str]] = {}
    for path in sorted(TESTS.rglob("*.py")):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        for number in claimed_in(tree):
            found.setdefault(number, []).append(str(path.relative_to(TESTS)))
    return found


def claimed_in(tree: ast.AST) -> Iterator[int]:
    """The numbers in every `pytest.mark.minion(…)`: plain integers, or this fails."""
    for node in ast.walk(tree):
        if (
            isinstance(node, ast.Call)
            and isinstance(node.func, ast.Attribute)
            and ast.unparse(node.func) == "pytest.mark.minion"
        ):
            for argument in node.args:
                number = ast.literal_eval(argument)
                assert isinstance(number, int), ast.unparse(node)
                yield number
