"""Each contender is a module that runs as a process: `python -m benchmarks.contenders.NAME`.

All take the same: the service's own settings from the environment, and `--drain` to end where the
topic ended at the start. All log the same two lines: `consuming` before the first poll, `stopped`
after the last record. `TABLES` is the DDL of what a contender has beside the service's tables.
"""
