"""Every file of `jobs.example/` does what it says."""
