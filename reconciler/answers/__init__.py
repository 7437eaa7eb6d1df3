"""Answers to what people ask of the ledger: why a slot did or did not run, what a job's file means. Pure."""
