"""Imports requests without its guessing of text encodings: 3 MiB for what nobody here asks. To be imported first.

requests takes chardet or charset_normalizer if one can be imported, and takes text for UTF-8 otherwise, with a warning.
"""

import sys
import warnings

_GUESSERS = ("chardet", "charset_normalizer")
_absent = [name for name in _GUESSERS if name not in sys.modules]
if "requests" not in sys.modules:
    sys.modules.update(dict.fromkeys(_absent))  # type: ignore[arg-type]  # an import of these now raises ImportError
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            import requests  # noqa: F401
    finally:
        for _name in _absent:
            del sys.modules[_name]
