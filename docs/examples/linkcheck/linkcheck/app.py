"""The pages: a form, and the result of a check."""

from flask import Flask, Response, abort, redirect, render_template, request, url_for

from linkcheck.fetching import MAX_URL, Refused, check_url
from linkcheck.tasks import check_links, spool
from spoolq.contrib.flask import get_spool, init_app

app = Flask(__name__)
app.config["MAX_CONTENT_LENGTH"] = 4 * MAX_URL
init_app(app, spool)


@app.get("/")
def index() -> str:
    """The form."""
    return render_template("index.html", problem="", url="")


@app.post("/links")
def check() -> Response | tuple[str, int]:
    """Enqueue a check and show how it goes."""
    given = request.form.get("url", "")
    try:
        job = check_links.enqueue(check_url(given))
    except Refused as problem:
        return render_template("index.html", problem=str(problem), url=given[:MAX_URL]), 400
    return redirect(url_for("result", id=job.id), 303)


@app.get("/links/<int:id>")
def result(id: int) -> str:
    """How far the check is, and what it has found; asks again by itself until it is over."""
    job = get_spool().job(id)
    info = None if job is None else job.info()
    if info is None or info.task != check_links.name:
        abort(404)  # other jobs of this spool are nobody's business
    return render_template("result.html", job=info)


@app.template_filter()
def visible(text: object) -> str:
    """Text of a stranger: what steers the direction of writing, or nothing at all, as escapes.

    That it is no HTML is the template's business.
    """
    return "".join(
        char if char.isprintable() else char.encode("unicode_escape").decode() for char in str(text)
    )


@app.after_request
def harden(response: Response) -> Response:
    """No script runs here, wherever it comes from."""
    response.headers["Content-Security-Policy"] = "default-src 'none'; form-action 'self'"
    response.headers["X-Content-Type-Options"] = "nosniff"
    response.headers["Referrer-Policy"] = "no-referrer"
    return response
