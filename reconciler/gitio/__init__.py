"""git children as the whole service runs them: one hardened runner, and what is built on it alone (rule S5)."""
