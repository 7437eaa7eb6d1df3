"""Promise: an archive of an image comes out with another configuration and the same layers, byte for byte."""

import io
import json
import tarfile
from collections.abc import Callable
from typing import cast

import pytest

from reconciler.engine.docker_rewrite import INDEX, PIECE, exchanged

LAYERS = {"a/layer.tar": b"\x00small", "b/layer.tar": bytes(range(256)) * (PIECE // 64), "c/layer.tar": b"{not json"}
OLD = {
    "architecture": "amd64", "os": "linux", "config": {"Labels": {"io.reconciler.mac": "x"}, "Env": ["A=1"]},
    "container_config": {"Labels": {"io.reconciler.mac": "x"}}, "container": "c0ffee", "docker_version": "20.10.24",
    "history": [{"created": "2026-01-01", "created_by": "ADD base"}, {"created": "2026-01-02", "created_by": "sleep"}],
    "rootfs": {"type": "layers", "diff_ids": ["sha256:1", "sha256:2", "sha256:3"]},
}  # fmt: skip


def old_style() -> dict[str, bytes]:
    """As Docker 20.10 saves."""
    said = [{"Config": "0a1b.json", "RepoTags": None, "Layers": list(LAYERS)}]
    return {"0a1b.json": json.dumps(OLD).encode(), **LAYERS, "manifest.json": json.dumps(said).encode()}


def new_style() -> dict[str, bytes]:
    """As Docker 25 and later, which say everything twice."""
    said = [{"Config": "blobs/sha256/0a1b", "RepoTags": None, "Layers": list(LAYERS)}]
    more = {"index.json": b"{}", "oci-layout": b"{}", "repositories": b"{}"}
    return {**LAYERS, "blobs/sha256/0a1b": json.dumps(OLD).encode(), **more, "manifest.json": json.dumps(said).encode()}


def packed(files: dict[str, bytes]) -> io.BytesIO:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for name, data in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
        link = tarfile.TarInfo("d/layer.tar")
        link.type, link.linkname = tarfile.SYMTYPE, "../a/layer.tar"
        archive.addfile(link)
    buffer.seek(0)
    return buffer


@pytest.mark.parametrize("style", [old_style, new_style])
def test_the_configuration_is_another_and_the_layers_are_the_same(style: Callable[[], dict[str, bytes]]) -> None:
    wanted = {"Cmd": ["python3"], "Labels": {"a": "b"}}
    pieces = list(exchanged(cast("io.BufferedIOBase", packed(style())), wanted, ("built",), "team/x:1"))
    assert max(map(len, pieces)) <= 1 << 20, "never a whole layer in memory"
    with tarfile.open(fileobj=io.BytesIO(b"".join(pieces))) as archive:
        found = {member.name: archive.extractfile(member) for member in archive if member.isfile()}
        data = {name: file.read() for name, file in found.items() if file is not None}
        assert archive.getmember("d/layer.tar").linkname == "../a/layer.tar"
    assert {name: data[name] for name in LAYERS} == LAYERS
    assert data.keys() & INDEX == {"manifest.json"}
    (image,) = json.loads(data["manifest.json"])
    assert image["RepoTags"] == ["team/x:1"] and image["Layers"] == list(LAYERS)
    assert json.loads(data[image["Config"]]) == {
        "architecture": "amd64", "os": "linux", "config": wanted, "rootfs": OLD["rootfs"],
        "history": [{"created": "2026-01-01", "created_by": "ADD base"},
                    {"created": "2026-01-02", "created_by": "built"}],
    }  # fmt: skip


def test_half_an_archive_is_an_error_and_no_image() -> None:
    half = io.BytesIO(packed(old_style()).getvalue()[:20_000])
    with pytest.raises(tarfile.TarError):
        list(exchanged(cast("io.BufferedIOBase", half), {}, (), "x:1"))
