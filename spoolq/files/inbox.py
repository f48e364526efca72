"""The inbox: files that people put into `inactive/` by hand.

`mv failed/0/17.* inactive/` is a retry: the name says the id. Anything else that holds a JSON
object with a `task` is a new job. A file that cannot be read as either may still be being
written: it is left alone until it has not changed for two seconds, then set aside.
"""

from __future__ import annotations

import math
from typing import Any, Final

from spoolq.errors import InvalidType, InvalidValue, JobCorrupt, QueueClosed, QueueFull
from spoolq.files import names, records
from spoolq.files.catalog import Catalog
from spoolq.files.counters import Counter
from spoolq.files.fs import Denied, Filesystem, Glance
from spoolq.files.layout import Layout
from spoolq.files.places import Place
from spoolq.files.publish import Publisher
from spoolq.files.settle import Settler
from spoolq.files.tokens import Change, Token, Tokens
from spoolq.transitions import Record, check_flag, new_record, retried

_PATIENCE: Final = 2.0  # seconds a file must be unchanged before it is given up
_OPTIONS: Final = frozenset(
    {
        "attempts", "delay", "expire", "hold", "kwargs", "lax", "notes", "parents", "priority",
        "queue", "timeout",
    }
)  # fmt: skip


class Inbox:
    """Takes in what was dropped into `inactive/`."""

    def __init__(
        self,
        fs: Filesystem,
        layout: Layout,
        tokens: Tokens,
        catalog: Catalog,
        publisher: Publisher,
        settler: Settler,
        counter: Counter,
    ) -> None:
        self._fs = fs
        self._layout = layout
        self._tokens = tokens
        self._catalog = catalog
        self._publisher = publisher
        self._settler = settler
        self._counter = counter
        self._stuck: set[str] = set()  # files that the system does not let be moved
        self._glance = Glance(fs, layout.inactive)
        self._dropped = False

    def holds_any(self) -> bool:
        """Whether there is any file to take in, or to wait for until it is whole."""
        fresh = self._glance.fresh()
        if fresh is not None:
            self._dropped = any(name.endswith(".json") for name in fresh)
        return self._dropped

    def take_in(self, now: float, disk_now: float) -> int:
        """Make jobs of the files that wait in the inbox; how many. `disk_now` ages them."""
        taken = 0
        for name in self._fs.list(self._layout.inactive):
            if name.endswith(".json") and not name.startswith(".") and name not in self._stuck:
                taken += self._take(name, now, disk_now)
        return taken

    def _take(self, name: str, now: float, disk_now: float) -> bool:
        path = f"{self._layout.inactive}/{name}"
        try:
            data = self._fs.read(path, records.MAX_SIZE)
            if data is None:
                return False  # RACE: taken in by somebody else
            value = records.parse(data)
            parsed = names.parse(name)
            if parsed:
                return self._retry(path, parsed, value, now)
            return self._new(path, value, now)
        except Denied:
            self._stuck.add(name)  # it stays where it is, and nobody else is kept waiting
            return False
        except (QueueClosed, QueueFull):
            return False  # it waits until there is room
        except (JobCorrupt, InvalidType, InvalidValue) as error:
            # `cp` makes the file first and fills it then; a job may parse half written only if
            # it is complete, so anything that parses and is wrong is wrong for good.
            changed = self._fs.modified(path)
            if changed is not None and disk_now - changed >= _PATIENCE:
                self._settler.set_aside(path, str(error), now)
            return False

    def _retry(self, path: str, name: names.JobName, value: Any, now: float) -> bool:
        """A job that was moved here by hand: the same as `retry`, whatever state it was in."""
        if isinstance(value, dict):
            value.pop("sum", None)  # edited by hand, perhaps on purpose
        record = records.check_record(value)
        if record["id"] != name.id:
            raise JobCorrupt(f"its name says job {name.id} and its content job {record['id']}")
        if self._catalog.find(name.id) is not None:
            raise JobCorrupt(f"job {name.id} is in the spool already: move a job, do not copy it")
        if name.id >= self._counter.peek():
            raise JobCorrupt(f"the id {name.id} was never given out by this spool")
        if name.started is not None:  # it was active: its content does not say that
            record = {**record, "started": name.started / 1_000_000}
        return self._put(path, retried(record, now, {}), name.epoch + 1, name.revision + 1, now)

    def _new(self, path: str, value: Any, now: float) -> bool:
        record, hold = read_request(value, now)
        self._publisher.admits(record["queue"])
        record["id"] = self._counter.take()
        return self._put(path, record, 0, 0, now, hold=hold)

    def _put(
        self,
        path: str,
        record: Record,
        epoch: int,
        revision: int,
        now: float,
        *,
        hold: bool = False,
    ) -> bool:
        publisher = self._publisher
        place = publisher.held(record) if hold else publisher.place(record, now)
        directory, _, name = path.rpartition("/")
        source = Token(directory, name, Place("inbox"))
        token = self._tokens.supersede_one(Change(source, record, place, epoch, revision))
        if token is None:
            return False
        self._publisher.settle_in(token.place, record, now)
        return True


def read_request(value: Any, now: float) -> tuple[Record, bool]:
    """A hand-written job as a record: `{"task": …, "args": […]}` and the options of enqueue; and
    whether it is to be held.

    Members of a job's record that say what happened to it (`id`, `created`, `result`, …) are
    ignored, so that a copy of a finished job can be edited into a new one; others are refused.
    """
    if not isinstance(value, dict):
        raise InvalidType("a job is a JSON object with a task")
    if "task" not in value:
        raise InvalidValue('a job needs a task: {"task": "NAME", "args": []}')
    ignored = set(new_record("x", [], None, 0.0)) | {"sum"}
    unknown = value.keys() - ignored - _OPTIONS
    if unknown:
        raise InvalidValue(f"unknown member {min(unknown)!r} in a job written by hand")
    options = {
        key: value[key] for key in _OPTIONS - {"kwargs", "hold"} if value.get(key) is not None
    }
    for key in ("attempts", "priority"):
        number = options.get(key)
        if isinstance(number, float) and math.isfinite(number) and number.is_integer():
            options[key] = int(number)  # jq writes 5.0 for 5 after arithmetic
    hold = check_flag(value.get("hold") or False, "hold")
    args, kwargs = value.get("args", []), value.get("kwargs")
    return new_record(value["task"], args, kwargs, now, **options), hold
