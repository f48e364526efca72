"""What runs a job, looked at alone: no storage, no worker."""
