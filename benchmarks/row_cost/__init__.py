"""What a row costs on disk, and what another way to store it would save.

    .venv/bin/python -m benchmarks.row_cost [--rows 1000000] [--rounds 3] [--url URL]

Each way is a table of its own, with the columns and the indexes of `processed_events` but for what
it changes. All get the same rows by the same COPY in binary, as a worker sends them, in turn. CPU
is that of PostgreSQL's process for the COPY, as the kernel counts it; bytes are those of the files
after VACUUM, without the free space map and the visibility map. docs/scale.md has the figures. The
embedded PostgreSQL is built without lz4: to measure that too, name a server that is, as superuser.
"""
