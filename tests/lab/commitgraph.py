"""The commit-graph of a repository, with lies in it: what somebody can write who may write to its files."""

import hashlib
import struct
from collections.abc import Sequence

from tests.lab.gitrepo import GitRepo

_HASH = 20  # bytes of an id
_ROW = _HASH + 16  # tree, two parents, generation and date
_NO_PARENT = 0x70000000


def forge(repo: GitRepo, lies: Sequence[tuple[str, str]]) -> None:
    """Write the graph of all that is reachable, in which each (commit, parent) holds; "" = no parent. A commit comes
    after its parent in `lies`, or its parent is not in them."""
    repo.git("commit-graph", "write", "--reachable")
    file = repo.path / ".git/objects/info/commit-graph"
    data = bytearray(file.read_bytes())
    chunks: dict[bytes, int] = {}
    for number in range(data[6] + 1):
        at = 8 + 12 * number
        chunks[bytes(data[at : at + 4])] = struct.unpack_from(">Q", data, at + 4)[0]
    count = struct.unpack_from(">I", data, chunks[b"OIDF"] + 4 * 255)[0]
    ids = [data[chunks[b"OIDL"] + _HASH * n :][:_HASH].hex() for n in range(count)]
    for generation, (commit, parent) in enumerate(lies, count + 1):
        at = chunks[b"CDAT"] + _ROW * ids.index(commit) + _HASH
        struct.pack_into(">I", data, at, ids.index(parent) if parent else _NO_PARENT)
        struct.pack_into(">I", data, at + 8, generation << 2)
        if b"GDA2" in chunks:
            struct.pack_into(">I", data, chunks[b"GDA2"] + 4 * ids.index(commit), generation * 10_000_000)
    data[-_HASH:] = hashlib.sha1(bytes(data[:-_HASH]), usedforsecurity=False).digest()
    file.chmod(0o644)
    file.write_bytes(data)
