"""An image with Python and pip, made of this host's own: no registry and no network is needed."""

import fcntl
import io
import subprocess
import sys
import sysconfig
import tarfile
import tempfile
from collections.abc import Iterator
from pathlib import Path

import docker

from .images import root_files

PYTHON = "python:local"
_LEFT_OUT = ("__pycache__", "/test/", "/idlelib/", "/site-packages/", "/dist-packages/", "/config-", "/turtledemo/",
             "/tkinter/", "/ensurepip/", "/lib2to3/", "EXTERNALLY-MANAGED")  # fmt: skip
_USUAL = ("libstdc++.so.6", "libgcc_s.so.1", "libm.so.6", "librt.so.1", "libpthread.so.0", "libdl.so.2", "libutil.so.1")


def ensure_python(docker_host: str, tag: str = PYTHON) -> str:
    """The image's id. Made once for all tests that come for it at the same time."""
    with (Path(tempfile.gettempdir()) / "reconciler-python-image.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        return _ensured(docker_host, tag)


def _ensured(docker_host: str, tag: str) -> str:
    client = docker.APIClient(base_url=docker_host, version="1.41", timeout=120)
    try:
        return str(client.inspect_image(tag)["Id"])
    except docker.errors.ImageNotFound:
        repository, _, version = tag.partition(":")
        scripts = Path(sys.executable).resolve().parent  # where pip puts what packages bring
        changes = [f"ENV PATH=/usr/local/bin:/bin:{scripts} PYTHONPATH=/opt/pip KEPT=yes", "USER 65534:65534",
                   'CMD ["python3"]', "WORKDIR /tmp"]  # fmt: skip
        client.import_image_from_data(_root(), repository=repository, tag=version, changes=changes)
        return str(client.inspect_image(tag)["Id"])
    finally:
        client.close()


def _root() -> bytes:
    import pip

    python, stdlib = Path(sys.executable).resolve(), Path(sysconfig.get_path("stdlib"))
    found: dict[str, Path] = {}
    for path in (python, *_files(stdlib)):
        found[str(path)] = path
        if path == python or path.suffix == ".so":
            found.update((library, Path(library)) for library in _libraries(path))
    for library in _USUAL:  # wheels of others are linked to them
        if path := next(iter(sorted(Path("/lib").glob(f"*-linux-gnu/{library}"))), None):
            found[str(path)] = path
    package = Path(pip.__path__[0])
    found.update((f"/opt/pip/pip/{path.relative_to(package)}", path) for path in _files(package, whole=True))
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        root_files(archive)
        for name, path in sorted(found.items()):
            archive.add(path.resolve(), name.lstrip("/"), filter=_plain)
        link = tarfile.TarInfo("bin/python3")
        link.type, link.linkname = tarfile.SYMTYPE, str(python)
        archive.addfile(link)
    return buffer.getvalue()


def _files(folder: Path, *, whole: bool = False) -> Iterator[Path]:
    for path in sorted(folder.rglob("*")):
        odd = not whole and any(part in str(path) for part in _LEFT_OUT)
        if path.is_file() and not odd and path.suffix not in (".pyc", ".a"):
            yield path


def _libraries(path: Path) -> list[str]:
    said = subprocess.run(["ldd", path], capture_output=True, text=True, timeout=30, check=False).stdout
    return [word for word in said.split() if word.startswith("/")]


def _plain(member: tarfile.TarInfo) -> tarfile.TarInfo:
    member.uid = member.gid = 0
    member.uname = member.gname = ""
    member.mode = 0o755 if member.mode & 0o111 else 0o644
    return member
