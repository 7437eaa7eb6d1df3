"""git -> source -> spec -> desired state -> plan -> apply -> engine -> runs -> history / server."""

__version__ = "0.1.0"
