"""The commands as people and scripts run them: real processes, a real spool."""
