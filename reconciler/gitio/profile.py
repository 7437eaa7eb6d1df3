"""How a git child is allowed to behave: an `Access` in, its environment and its leading arguments out (rule S5).

Everything that git would take from the user, the system or the repository and that can start a program, reach the
network or change what is read is set here. Settings stand in argv (a git that does not know one ignores it);
secrets go through the environment by `--config-env`, which an old git refuses instead of ignoring.
"""

from dataclasses import dataclass

ENVIRONMENT = {
    "PATH": "/usr/local/bin:/usr/bin:/bin",
    "HOME": "/nonexistent",
    "XDG_CONFIG_HOME": "/nonexistent",
    "LC_ALL": "C.UTF-8",
    "GIT_CONFIG_NOSYSTEM": "1",
    "GIT_CONFIG_SYSTEM": "/dev/null",
    "GIT_CONFIG_GLOBAL": "/dev/null",
    "GIT_ATTR_NOSYSTEM": "1",
    "GIT_TERMINAL_PROMPT": "0",
    "GIT_ASKPASS": "/bin/false",
    "SSH_ASKPASS": "/bin/false",
    "GIT_PROTOCOL_FROM_USER": "0",
    "GIT_LFS_SKIP_SMUDGE": "1",
    "GIT_OPTIONAL_LOCKS": "0",
    "GIT_NO_REPLACE_OBJECTS": "1",
    "GIT_NO_LAZY_FETCH": "1",  # newer git; older ones are held by GIT_ALLOW_PROTOCOL
    "GIT_GRAFT_FILE": "/dev/null",
    "GIT_LITERAL_PATHSPECS": "1",
    "GIT_SSH_VARIANT": "ssh",
    "GIT_SSH_COMMAND": "/bin/false",
}

CONFIG = (
    ("protocol.allow", "never"),
    ("core.hooksPath", "/dev/null"),
    ("core.fsmonitor", "false"),
    ("core.symlinks", "false"),
    ("core.sshCommand", ""),
    ("core.gitProxy", ""),
    ("core.attributesFile", "/dev/null"),
    ("core.protectNTFS", "true"),
    ("core.protectHFS", "true"),
    ("core.bigFileThreshold", "16m"),
    ("core.commitGraph", "false"),  # it tells parents in the stead of the commits
    ("safe.bareRepository", "explicit"),
    ("safe.directory", "*"),  # reading objects runs nothing of the repository's, whoever owns it
    ("credential.helper", ""),
    ("submodule.recurse", "false"),
    ("fetch.recurseSubmodules", "false"),
    ("fetch.writeCommitGraph", "false"),
    ("fetch.fsckObjects", "true"),
    ("transfer.fsckObjects", "true"),
    ("transfer.bundleURI", "false"),
    ("http.followRedirects", "false"),
    ("http.lowSpeedLimit", "1000"),
    ("http.lowSpeedTime", "30"),
    ("http.proxy", ""),
    ("http.sslVerify", "true"),
    ("init.templateDir", ""),
    ("filter.lfs.smudge", ""),
    ("filter.lfs.process", ""),
    ("filter.lfs.required", "false"),
    ("diff.external", ""),
    ("log.showSignature", "false"),
    ("advice.graftFileDeprecated", "false"),
    ("gc.auto", "0"),
    ("gc.autoDetach", "false"),
    ("maintenance.auto", "false"),
    ("pack.threads", "1"),
    ("pack.windowMemory", "64m"),
)


@dataclass(frozen=True, slots=True)
class Access:
    """What one child may reach. The default reaches nothing: no protocol at all.

    `secret_config` values never stand in argv; `secrets` are cut out of whatever is shown of a child's words.
    """

    protocols: tuple[str, ...] = ()
    ssh_command: str = ""
    config: tuple[tuple[str, str], ...] = ()
    secret_config: tuple[tuple[str, str], ...] = ()
    secrets: tuple[str, ...] = ()

    def __repr__(self) -> str:
        return f"Access(protocols={self.protocols!r})"


NOTHING = Access()


def environment(access: Access) -> dict[str, str]:
    """The child's whole environment: nothing is inherited."""
    env = dict(ENVIRONMENT)
    env["GIT_ALLOW_PROTOCOL"] = ":".join(access.protocols) or "none"  # an empty list would fall back to the config
    if access.ssh_command:
        env["GIT_SSH_COMMAND"] = access.ssh_command
    for index, (_, value) in enumerate(access.secret_config):
        env[f"RECONCILER_GIT_CONFIG_{index}"] = value
    return env


def arguments(access: Access, git_dir: str | None, work_tree: str | None = None) -> list[str]:
    """`git` and its global options; the command follows. A command that writes files needs a `work_tree`: without one
    git takes the directory that it stands in."""
    argv = ["git", "--no-pager"]
    if git_dir is not None:
        argv.append(f"--git-dir={git_dir}")
    if work_tree is not None:
        argv.append(f"--work-tree={work_tree}")
    allowed = tuple((f"protocol.{name}.allow", "always") for name in access.protocols)
    for key, value in (*CONFIG, *allowed, *access.config):
        argv += ["-c", f"{key}={value}"]
    for index, (key, _) in enumerate(access.secret_config):
        argv.append(f"--config-env={key}=RECONCILER_GIT_CONFIG_{index}")
    return argv
