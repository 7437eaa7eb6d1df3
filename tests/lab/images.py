"""Images without a registry: DOCKER_HOST in, image ids out. The base is the host's own static busybox."""

import io
import shutil
import subprocess
import tarfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import docker

from .dockerd import apt_install

BUSYBOX = "busybox:local"
FOLDERS = ("bin", "etc", "tmp", "root", "proc", "sys", "dev", "run", "var/tmp")
PASSWD = "root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/tmp:/bin/false\n"


def ensure_busybox(docker_host: str, tag: str = BUSYBOX) -> str:
    """The id of a 2 MB image with busybox's applets, made by import if it is not there."""
    client = docker.APIClient(base_url=docker_host, version="1.41", timeout=60)
    try:
        return str(client.inspect_image(tag)["Id"])
    except docker.errors.ImageNotFound:
        return import_image(client, tag, ['CMD ["/bin/sh"]', "ENV PATH=/usr/local/bin:/bin"])
    finally:
        client.close()


def labelled_image(docker_host: str, tag: str, changes: Sequence[str]) -> str:
    """An image like `ensure_busybox`'s with further Dockerfile lines (`LABEL a=b`)."""
    client = docker.APIClient(base_url=docker_host, version="1.41", timeout=60)
    try:
        return import_image(client, tag, ["ENV PATH=/usr/local/bin:/bin", *changes])
    finally:
        client.close()


def ensure_git(docker_host: str, tag: str = "git:local") -> str:
    """The tag of an image like busybox's that has the host's git beside, with the libraries that it needs."""
    client = docker.APIClient(base_url=docker_host, version="1.41", timeout=60)
    try:
        client.inspect_image(tag)
    except docker.errors.ImageNotFound:
        import_image(client, tag, ['CMD ["/bin/sh"]', "ENV PATH=/usr/local/bin:/bin"], with_libraries("git"))
    finally:
        client.close()
    return tag


def with_libraries(program: str) -> dict[str, Path]:
    """The host's program and the libraries that it needs, by their path in an image; it is found before busybox's."""
    path = shutil.which(program)
    assert path is not None
    said = subprocess.run(["ldd", path], capture_output=True, text=True, check=True, timeout=30).stdout
    needed = [word for line in said.splitlines() for word in line.split() if word.startswith("/")]
    return {f"usr/local/bin/{program}": Path(path), **{name.lstrip("/"): Path(name) for name in needed}}


def image_with_tar(client: docker.APIClient, folder: Path, tag: str, script: str) -> str:
    """The tag of an image like busybox's whose `tar` is this script."""
    path = folder / "tar"
    path.write_text(script)
    import_image(client, tag, ["ENV PATH=/usr/local/bin:/bin"], {"usr/local/bin/tar": path})
    return tag


def import_image(
    client: docker.APIClient, tag: str, changes: Sequence[str], more: Mapping[str, Path] | None = None
) -> str:
    """`more`: programs of the host by their path in the image."""
    repository, _, version = tag.rpartition(":")
    files = _root_filesystem(more or {})
    client.import_image_from_data(files, repository=repository, tag=version, changes=list(changes))
    return str(client.inspect_image(tag)["Id"])


def static_busybox() -> Path:
    """The host's busybox, installed if it is missing or linked dynamically. Raises NoDocker."""
    found = shutil.which("busybox")
    if found is None or b"interpreter" in _describe(found):
        apt_install("busybox-static")
        found = shutil.which("busybox")
    assert found is not None
    return Path(found)


def _describe(path: str) -> bytes:
    """`interpreter` if the ELF file asks for a dynamic loader (a PT_INTERP path), else nothing."""
    return b"interpreter" if b"/ld-linux" in Path(path).read_bytes()[:4096] else b""


def _root_filesystem(more: Mapping[str, Path]) -> bytes:
    """A tar archive with `more`, the same bytes on every call."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        root_files(archive)
        for name, path in sorted(more.items()):
            _add_file(archive, name, path.read_bytes(), 0o755)
    return buffer.getvalue()


def root_files(archive: tarfile.TarFile) -> None:
    """Busybox, a hard link per applet, a user table."""
    busybox = static_busybox()
    applets = subprocess.run([busybox, "--list"], capture_output=True, text=True, check=True, timeout=30).stdout.split()
    for name in FOLDERS:
        folder = tarfile.TarInfo(name)
        folder.type, folder.mode = tarfile.DIRTYPE, 0o1777 if name.endswith("tmp") else 0o755
        archive.addfile(folder)
    _add_file(archive, "bin/busybox", busybox.read_bytes(), 0o755)
    for applet in sorted(set(applets) - {"busybox"}):
        link = tarfile.TarInfo(f"bin/{applet}")
        link.type, link.linkname, link.mode = tarfile.LNKTYPE, "bin/busybox", 0o755
        archive.addfile(link)
    _add_file(archive, "etc/passwd", PASSWD.encode(), 0o644)
    _add_file(archive, "etc/group", b"root:x:0:\nnogroup:x:65534:\n", 0o644)


def _add_file(archive: tarfile.TarFile, name: str, data: bytes, mode: int) -> None:
    entry = tarfile.TarInfo(name)
    entry.size, entry.mode = len(data), mode
    archive.addfile(entry, io.BytesIO(data))
