"""Plan -> calls on the engine and rows in the ledger. Decides nothing."""
