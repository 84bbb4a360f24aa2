"""Measures this service against the designs a team would otherwise pick: see docs/benchmarks.md.

All contenders read the same records through the same broker and write into the same PostgreSQL, in
alternation, each as a process of its own. Run it as `scripts/bench`.
"""
