"""Who is at the other end of a unix socket, as the kernel says. In: a connected socket; out: uid, groups, a name."""

import grp
import os
import pwd
import socket
import struct
from dataclasses import dataclass

_CREDENTIALS = struct.Struct("iII")  # struct ucred: pid, uid, gid
_SO_PEERGROUPS = 59  # asm-generic/socket.h; not in the socket module of Python 3.11
_GROUP_LIST_BYTES = 1024  # 256 groups; the socket module allows no more


@dataclass(frozen=True, slots=True)
class Peer:
    """`actor` is the name of its user account. All of it is as of the moment of connect. `admin`: `may` has said so."""

    pid: int
    uid: int
    groups: frozenset[int]
    actor: str
    admin: bool = False

    def may(self, group: int | None) -> bool:
        """The administrators: root, the service's own user, and members of the socket's group (rule S6)."""
        return self.uid in (0, os.geteuid()) or (group is not None and group in self.groups)


def peer_of(connection: socket.socket) -> Peer:
    """Raises OSError."""
    raw = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
    pid, uid, gid = _CREDENTIALS.unpack(raw)
    return Peer(pid, uid, frozenset({gid, *_supplementary(connection, uid, gid)}), user_name(uid))


def _supplementary(connection: socket.socket, uid: int, gid: int) -> tuple[int, ...]:
    try:
        raw = connection.getsockopt(socket.SOL_SOCKET, _SO_PEERGROUPS, _GROUP_LIST_BYTES)
        return struct.unpack(f"{len(raw) // 4}I", raw)
    except OSError:  # more groups than that, or another number on this architecture: ask the user database
        try:
            return tuple(os.getgrouplist(pwd.getpwuid(uid).pw_name, gid))
        except KeyError:
            return ()


def user_name(uid: int) -> str:
    """`anna`, or `uid 1234` where the user database has no name."""
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"uid {uid}"


def group_id(name: str) -> int | None:
    """None = there is no such group: then only root and the service's own user are let in."""
    try:
        return grp.getgrnam(name).gr_gid
    except KeyError:
        return None
