"""spoolq: a job queue that is a directory."""
