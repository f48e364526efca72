"""Other queues, measured beside spoolq where they are installed."""
