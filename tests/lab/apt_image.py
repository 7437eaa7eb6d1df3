"""An image with apt and dpkg, made of this host's own, and a Debian repository that it gets its packages from."""

import contextlib
import hashlib
import io
import subprocess
import tarfile
from collections.abc import Iterator
from pathlib import Path

import docker

from .dockerd import NoDocker
from .images import root_files
from .wheels import served

DEB = "hello"  # a real one, small, which needs nothing but the C library
_PROGRAMS = ("/usr/bin/apt-get", "/usr/bin/dpkg", "/usr/bin/dpkg-deb", "/usr/bin/dpkg-query", "/usr/bin/dpkg-split",
             "/usr/bin/tar", "/sbin/ldconfig", "/usr/lib/apt/methods/http", "/usr/lib/apt/methods/store",
             "/usr/lib/apt/methods/copy")  # fmt: skip
_FOLDERS = ("var/lib/dpkg/info", "var/lib/dpkg/updates", "var/lib/dpkg/triggers", "var/lib/apt/lists/partial",
            "var/cache/apt/archives/partial", "etc/apt/apt.conf.d", "etc/apt/preferences.d", "var/log/apt", "usr/share",
            "usr/bin", "usr/sbin", "sbin")  # fmt: skip


def repository(folder: Path) -> None:
    """Fetch the package from the configured mirror, and write the index beside it. Raises NoDocker."""
    for command in (["apt-get", "-qq", "download", DEB], ["apt-get", "-qq", "update"]) * 2:
        subprocess.run(command, cwd=folder, capture_output=True, timeout=200, check=False)
        if found := list(folder.glob("*.deb")):
            break
    else:
        raise NoDocker(f"cannot download the package {DEB}")
    fields = subprocess.run(["dpkg-deb", "-f", found[0]], capture_output=True, text=True, check=True, timeout=30).stdout
    data = found[0].read_bytes()
    told = f"Filename: ./{found[0].name}\nSize: {len(data)}\nSHA256: {hashlib.sha256(data).hexdigest()}\n"
    (folder / "Packages").write_text(fields.rstrip("\n") + "\n" + told)


@contextlib.contextmanager
def apt_image(folder: Path, docker_host: str, tag: str = "apt:local") -> Iterator[str]:
    """The tag; what it installs comes over http on the bridge."""
    repository(folder)
    with served(folder, docker_host) as address:
        client = docker.APIClient(base_url=docker_host, version="1.41", timeout=120)
        try:
            name, _, version = tag.partition(":")
            changes = ["ENV PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "USER 65534:65534"]
            client.import_image_from_data(_root(address), repository=name, tag=version, changes=changes)
            yield tag
            client.remove_image(tag, force=True)
        finally:
            client.close()


def _root(address: str) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        root_files(archive)
        for name in _FOLDERS:
            entry = tarfile.TarInfo(name)
            entry.type, entry.mode = tarfile.DIRTYPE, 0o755
            archive.addfile(entry)
        found = {path for program in _PROGRAMS for path in (program, *_libraries(program))}
        for path in sorted(found):
            archive.add(Path(path).resolve(), path.lstrip("/"), filter=_plain)
        archive.add("/usr/share/dpkg", "usr/share/dpkg", filter=_plain)
        archive.add("/var/lib/dpkg/status", "var/lib/dpkg/status", filter=_plain)  # the libraries count as installed
        _add(archive, "etc/apt/sources.list", f"deb [trusted=yes] {address} ./\n")
        _add(archive, "var/lib/dpkg/available", "")
    return buffer.getvalue()


def _add(archive: tarfile.TarFile, name: str, text: str) -> None:
    entry = tarfile.TarInfo(name)
    entry.size, entry.mode = len(text), 0o644
    archive.addfile(entry, io.BytesIO(text.encode()))


def _libraries(program: str) -> list[str]:
    said = subprocess.run(["ldd", program], capture_output=True, text=True, timeout=30, check=False).stdout
    return [word for word in said.split() if word.startswith("/")]


def _plain(member: tarfile.TarInfo) -> tarfile.TarInfo:
    member.uid = member.gid = 0
    member.uname = member.gname = ""
    return member
