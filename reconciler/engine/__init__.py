"""What makes standing jobs and runs exist: one Protocol, one module per machine."""
