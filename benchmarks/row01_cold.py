"""Row 1: reading and validating every file, nothing remembered."""

from collections.abc import Iterator
from pathlib import Path

import yaml
from jsonschema import Draft202012Validator

from reconciler.model.service import ServiceConfig
from reconciler.spec.desire import desire
from reconciler.spec.schemas import schema

from .fleet import snapshot_of, texts
from .measure import Budget, Case, Other, cold

TITLE = "cold read and validation, processor time"


def cases(budget: Budget, folder: Path) -> Iterator[Case]:
    """Bytes in memory on both sides: reading them from git is row 4's."""
    validator = Draft202012Validator(schema("job"))
    first, contents = snapshot_of({"first.yaml": b"schedule: manual\nimage: a\n"})
    desire(first, lambda ids: {blob: contents[blob] for blob in ids}, ServiceConfig(), {})  # modules and schema loaded
    for count in (200,) if budget.quick else (1000, 10_000):
        snapshot, blobs = snapshot_of(texts(count))
        config = ServiceConfig()

        def ours(snapshot=snapshot, blobs=blobs, config=config) -> None:
            desired, _ = desire(snapshot, lambda ids: {blob: blobs[blob] for blob in ids}, config, {})
            assert len(desired.jobs) == len(snapshot.entries), desired.problems[:3]

        def loaded(blobs=blobs, loader=yaml.CSafeLoader) -> list[object]:
            return [yaml.load(data, Loader=loader) for data in blobs.values()]

        def checked(blobs=blobs) -> None:
            for data in blobs.values():
                assert validator.is_valid(yaml.load(data, Loader=yaml.CSafeLoader))

        yield Case(
            1, f"{count:,} files", cold(ours),
            (
                Other("yaml.load(CSafeLoader) alone", cold(loaded), 1.0),
                Other("CSafeLoader + jsonschema", cold(checked), 0.5),
            ),
            least=9, most=60,
        )  # fmt: skip
        if count <= 1000:  # a peer so slow that few rounds tell
            plain = Other("yaml.load(SafeLoader) alone", cold(lambda loaded=loaded: loaded(loader=yaml.SafeLoader)))
            yield Case(1, f"{count:,} files", cold(ours), (plain,), least=3, most=3)
