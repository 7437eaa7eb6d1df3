"""The ledger: standing jobs, runs, slots, events. SQLite in WAL with synchronous=FULL."""
