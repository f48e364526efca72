"""The units and the cron line: judged by systemd itself, and run with an empty environment."""
