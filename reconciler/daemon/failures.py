"""An error that kept a run from being made ready or started -> its class in the ledger, and whether it is final."""

from ..model.errors import CodeRejected, CodeUnavailable, EngineUnavailable, ReconcilerError
from ..model.run import FailureClass

_CLASSES = {
    "image-missing": FailureClass.IMAGE, "registry-auth": FailureClass.IMAGE, "disk-full": FailureClass.DISK,
    "packages-failed": FailureClass.PACKAGES, "packages-file": FailureClass.PACKAGES,
    "secret-gone": FailureClass.SECRET, "secret-forbidden": FailureClass.SECRET, "secret-sealed": FailureClass.SECRET,
    "secret-not-text": FailureClass.SECRET, "secret-too-large": FailureClass.SECRET,
    "secret-store-unsafe": FailureClass.SECRET, "secret-store-unreadable": FailureClass.SECRET,
    "identity-invalid": FailureClass.SECRET, "no-memory-place": FailureClass.SECRET,
    "memory-place-unsafe": FailureClass.SECRET,
    "engine-remote": FailureClass.SECRET, "unpack-failed": FailureClass.CODE, "unpack-no-tar": FailureClass.CODE,
    "registry-unavailable": FailureClass.IMAGE, "image-pull": FailureClass.IMAGE,
    "exec-target-missing": FailureClass.ENGINE,
}  # fmt: skip
_TYPES = ((CodeUnavailable, FailureClass.CODE), (CodeRejected, FailureClass.CODE),
          (EngineUnavailable, FailureClass.ENGINE))  # fmt: skip

_FINAL = ("unpack-no-tar", "engine-remote")


def class_of(error: ReconcilerError) -> FailureClass:
    by_type = next((found for kind, found in _TYPES if isinstance(error, kind)), FailureClass.REJECTED)
    return _CLASSES.get(error.code, by_type)


def is_final(error: ReconcilerError) -> bool:
    """Would asking again be answered the same until a person changes something elsewhere?"""
    return isinstance(error, CodeRejected) or error.code in _FINAL
