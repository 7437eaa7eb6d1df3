"""Pure: snapshot of a commit -> desired state and problems. Strict YAML, schema, defaults, ownership, admission."""
