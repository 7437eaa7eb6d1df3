"""Pure: job definitions of other schedulers -> job files that are valid here, and notes on what had no counterpart."""
