"""spoolq in other frameworks. Each module needs its framework, which an extra installs:
`spoolq[django]`, `spoolq[starlette]`, `spoolq[fastapi]`, `spoolq[flask]`."""
