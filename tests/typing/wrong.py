"""Calls that are wrong, and that a type checker has to say so of. Read by checkers, never run.

Each is expected by a comment: mypy is told to complain of one that expects nothing, and the test
compares the lines with those of which pyright complains.
"""

from __future__ import annotations

from spoolq import Job, Middleware, Spool

spool = Spool("memory:")


@spool.task
def send(user_id: int, *, lang: str = "en") -> str:
    return f"{user_id} {lang}"


@spool.task(takes_context=True)
def report(job: Job, pages: int) -> int:
    return pages


class Resize:
    def run(self, path: str) -> int:
        return len(path)


class Count:
    async def run(self, job: Job, path: str) -> int:
        return len(path)


resize = spool.task(Resize)
count = spool.task(takes_context=True)(Count)

send.enqueue("7")  # type: ignore[arg-type]  # no integer
send.enqueue()  # type: ignore[call-arg]  # too few
send.enqueue(7, "de")  # type: ignore[call-arg]  # too many
send.enqueue(7, lang=1)  # type: ignore[arg-type]  # no string
send.enqueue(7, language="de")  # type: ignore[call-arg]  # no such parameter
send.delay("7")  # type: ignore[arg-type]
send.call("7")  # type: ignore[arg-type]
send.make(7, lang=1)  # type: ignore[arg-type]
send.using(dealy=60)  # type: ignore[call-arg]
send.using(on_conflict="ignore")  # type: ignore[arg-type]
report.enqueue("3")  # type: ignore[arg-type]
report.enqueue(report, 3)  # type: ignore[call-arg, arg-type]  # the job is no argument
resize.enqueue(7)  # type: ignore[arg-type]
count.enqueue(7)  # type: ignore[arg-type]
number: int = send.enqueue(7).result()  # type: ignore[assignment]
spool.enqueue("send", 7)  # type: ignore[arg-type]
spool.enqueue("send", unique_while="running")  # type: ignore[arg-type]
spool.chain(send)  # type: ignore[arg-type]
spool.add_middleware(Middleware)  # type: ignore[arg-type]  # the class, not an object of it
spool.enqueue_many([("send", [7])], unique="key")  # type: ignore[call-arg]
spool.cron("@daily", overlap="none")  # type: ignore[arg-type]
spool.schedule("s", "@daily", send, dealy=5)  # type: ignore[call-arg]
