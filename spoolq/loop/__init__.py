"""The run loop of a worker: one thread, one poll, and nothing that waits anywhere else.

    engine      one turn after another: beat, obey, rescue, reap, claim, wait
    remote      the commands `jobs`, `spare`, `kill` and `stop`
    crew        the jobs under way: start, end, commit
    lease       the heartbeat, and what happens when it cannot be sent
    signals     signals as something that is polled
    plan        pure decisions: what may be claimed now, and when to look again

A line may use the lines below it, and only those.
"""
