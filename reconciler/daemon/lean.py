"""structlog, without what its traceback printer for terminals brings along: rich, pygments and attrs, 7 MiB.

structlog takes rich if it can be imported and does without it otherwise. We print our own lines: it finds none. Whoever
needs structlog imports it from here.
"""

import sys

__all__ = ["structlog"]

_absent = "rich" not in sys.modules
if _absent:
    sys.modules["rich"] = None  # type: ignore[assignment]  # an import of it now raises ImportError
try:
    import structlog
finally:
    if _absent:
        del sys.modules["rich"]
