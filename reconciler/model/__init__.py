"""The nouns: frozen values, enums and errors that every stage shares. Imports nothing of ours."""
