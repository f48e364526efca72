"""Counts words in the background: a FastAPI application with its worker beside it.

SPOOLQ_ROOT=./spool uvicorn words:app
curl -d '{"text": "to be or not to be"}' -H 'Content-Type: application/json' localhost:8000/counts
curl localhost:8000/counts/1?wait=5
"""

from collections import Counter
from typing import Annotated

from fastapi import FastAPI, HTTPException, Query
from pydantic import BaseModel, Field

from spoolq import JobFailed, JobRemoved, Spool
from spoolq.contrib.fastapi import SpoolDep, lifespan

spool = Spool()
app = FastAPI(title="Words", lifespan=lifespan(spool, worker="words:spool"))


class Text(BaseModel):
    """What is counted."""

    text: str = Field(max_length=100_000)


@spool.task(attempts=3, timeout=30)
def count(text: Text) -> dict[str, int]:
    """How often each word is there."""
    return dict(Counter(text.text.lower().split()))


@app.post("/counts", status_code=202)
async def create(text: Text) -> dict[str, int]:
    """Have words counted; the answer is there before they are."""
    job = await count.aenqueue(text)
    return {"id": job.id}


@app.get("/counts/{id}")
async def read(
    id: int, spool: SpoolDep, wait: Annotated[float, Query(ge=0, le=30)] = 0
) -> dict[str, int]:
    """The counted words, as soon as they are there, for at most `wait` seconds."""
    job = spool.job(id)
    if job is None or job.task != count.name:
        raise HTTPException(404, "there is no such count")
    try:
        words: dict[str, int] = await job.aresult(timeout=wait)
    except TimeoutError:
        raise HTTPException(503, "not yet", {"Retry-After": "1"}) from None
    except (JobFailed, JobRemoved) as error:
        raise HTTPException(410, str(error)) from None
    return words
