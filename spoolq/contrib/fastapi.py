"""A spool in a FastAPI application: `spoolq.contrib.starlette`, and the spool as a dependency.

app = FastAPI(lifespan=lifespan(spool, worker="shop.tasks:spool"))

@app.get("/jobs/{id}")
def look(id: int, spool: SpoolDep): ...
"""

from __future__ import annotations

from typing import Annotated

from fastapi import Depends
from fastapi.requests import HTTPConnection

from spoolq.contrib.starlette import lifespan
from spoolq.spool import Spool

__all__ = ["SpoolDep", "get_spool", "lifespan"]


def get_spool(connection: HTTPConnection) -> Spool:
    """The spool of the application. Raises RuntimeError when its lifespan is not ours."""
    found: Spool | None = getattr(connection.state, "spool", None)
    if found is None:
        raise RuntimeError("there is no spool here: FastAPI(lifespan=lifespan(spool)) puts it here")
    return found


SpoolDep = Annotated[Spool, Depends(get_spool)]
"""What an endpoint annotates a parameter with to be given the spool."""
