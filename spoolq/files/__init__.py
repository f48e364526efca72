"""The file backend: a spool is a directory, a job is one file in it.

    store       the Backend: wires what follows to the contract, holds no rule of its own
    repair      what time and crashes leave, put right
    claims      who may run a job                       inbox     files dropped by hand
    unique_jobs jobs that get their key and their place together, or neither
    schedules   when jobs are made by themselves, each once
    slots       how many of a queue run at once
    settle      finish, fail, retry, remove, note
    publish     where a job goes, and batches of new ones
    gates       what a job with a key or with limits needs before it starts
    limits      how many run at once, or start within a period
    families    parents and children                    registry  workers   locks   named locks
    uniques     who holds a unique key
    census      counts: stats, history, totals          filters   which jobs a listing wants
    catalog     look-up by id, and walks over all jobs
    viewer      a spool opened only to look at names
    producer    a spool opened only to put jobs in
    fresh       new jobs that wait for nobody
    tokens      the two primitives of docs/format.md: move and supersede
    places      directories of buckets                  counters  numbers that are names
    queues      what is said of a queue                 environments  of command lines, each once
    doorbell    what wakes a worker that waits      endings   what wakes who waits for a result
    chain       states that are swapped atomically
    layout      the root: FORMAT, modes, first use
    fs          the only module that changes the disk
    names       paths and names                         records   bytes

A line may use the lines below it, and only those.
"""
