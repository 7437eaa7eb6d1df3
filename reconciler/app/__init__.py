"""The composition root: the only package that names concrete engines, stores, sources and listeners."""
