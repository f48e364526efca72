"""Several hosts with one spool: namespaces of one kernel, and mounts of a hostile file server."""
