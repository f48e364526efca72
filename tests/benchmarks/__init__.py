"""Speed, measured: `python -m tests.benchmarks`.

Every figure stands beside what it is compared with, taken in the same run and in turns: the raw
floor (the same system calls made directly, without spoolq), another amount of waiting jobs, or
another queue on the same disk. The ratios are what counts; `docs/benchmarks.md` explains them.
"""
