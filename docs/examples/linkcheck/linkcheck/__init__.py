"""A link checker: a form takes the address of a page, a job looks whether its links work.

export SPOOLQ_ROOT=./spool
flask --app linkcheck.app run &
flask --app linkcheck.app spoolq worker
"""
