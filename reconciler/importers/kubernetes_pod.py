"""The pod of a Kubernetes Job -> the container half of a job: its one container, its volumes, its environment."""

from collections.abc import Callable

from ..spec.images import parse_image
from .draft import Mapping, Mark, Node, mark_of
from .fields import Field, Table
from .kubernetes_env import REFERENCE, Manifest, plain, read_environment
from .kubernetes_volumes import mount_volumes
from .model import NoteCode
from .values import WrongValue, cores, count_of, flag_of, items_of, map_of, seconds, size, text_of, texts_of

_PULL = {"Always": "always", "IfNotPresent": "missing", "Never": "never"}
_NVIDIA = "nvidia.com/gpu"


def read_pod(manifest: Manifest, pod: Mapping) -> None:
    """The container comes last: what it says counts more than what the pod says for all."""
    manifest.pod = Mapping(mark_of(pod))
    for key in sorted(pod.items, key=lambda key: key == "containers"):
        manifest.pod.items[key], manifest.pod.keys[key] = pod.items[key], pod.keys[key]
    POD.walk(manifest, manifest.draft, manifest.pod)


def _containers(manifest: Manifest, node: Node, at: Mark) -> None:
    items = items_of(node)
    if not items:
        raise WrongValue("a list with a container in it")
    manifest.container = map_of(items[0])
    for other in items[1:]:
        name = plain(map_of(other), "name")[:80]
        manifest.draft.note(mark_of(other), NoteCode.MISSING_PART, f'containers: "{name}" ran beside the first one',
                            "A job has one container.")  # fmt: skip
    read_environment(manifest)  # before what refers to it
    CONTAINER.walk(manifest, manifest.draft, manifest.container)
    if "imagePullPolicy" not in manifest.container.items and _moves(manifest.draft.values.get("image", "")):
        manifest.draft.keep("pull_policy", "always", at)


def _moves(image: str) -> bool:
    """Is its tag `latest`, said or not?"""
    try:
        return parse_image(image).tag == "latest"
    except ValueError:
        return False


def _working_dir(manifest: Manifest, node: Node, at: Mark) -> None:
    manifest.draft.keep("working_dir", text_of(node), at)


def _init_containers(manifest: Manifest, node: Node, at: Mark) -> None:  # noqa: ARG001
    for item in items_of(node):
        name = plain(map_of(item), "name")[:80]
        manifest.draft.note(mark_of(item), NoteCode.MISSING_PART, f'initContainers: "{name}" ran before the job')


def _image(manifest: Manifest, node: Node, at: Mark) -> None:
    image = text_of(node)
    manifest.draft.keep("image", image, at)


def _pull(manifest: Manifest, node: Node, at: Mark) -> None:
    policy = _PULL.get(text_of(node))
    if policy is None:
        raise WrongValue("Always, IfNotPresent or Never")
    manifest.draft.keep("pull_policy", policy, at)


def _argv(field: str) -> Callable[[Manifest, Node, Mark], None]:
    def read(manifest: Manifest, node: Node, at: Mark) -> None:
        words = texts_of(node)
        if not words:
            return
        asked = {match[1] for word in words for match in REFERENCE.finditer(word) if match[1]}
        for name in sorted(asked & manifest.elsewhere):
            manifest.draft.note(
                at, NoteCode.UNRESOLVED, f"$({name[:80]}) in the {field}: its value is not in this file"
            )
        manifest.draft.keep(field, [manifest.expanded(word) for word in words], at)

    return read


def _resources(manifest: Manifest, node: Node, at: Mark) -> None:
    draft = manifest.draft
    limits = map_of(node).items.get("limits")
    for key, value in map_of(limits).items.items() if limits is not None else ():
        place = map_of(limits).keys[key] if limits is not None else at
        if key == "cpu":
            draft.put("resources", "cpus", cores(text_of(value)), place)
        elif key == "memory":
            draft.put("resources", "memory", size(text_of(value)), place)
        elif key == _NVIDIA:
            draft.put("resources", "gpus", count_of(value), place)
        else:
            draft.note(place, NoteCode.NO_COUNTERPART, f"resources.limits.{key[:80]}")
    if "requests" in map_of(node).items:
        draft.note(map_of(node).keys["requests"], NoteCode.NO_COUNTERPART, "resources.requests: nothing is reserved")


def _security(manifest: Manifest, node: Node, at: Mark) -> None:  # noqa: ARG001
    manifest.security = map_of(node)
    SECURITY.walk(manifest, manifest.draft, manifest.security)


def _user(manifest: Manifest, node: Node, at: Mark) -> None:
    group = plain(manifest.security, "runAsGroup")
    manifest.draft.keep("user", str(count_of(node)) + (f":{group}" if group.isdigit() else ""), at)


def _added(manifest: Manifest, node: Node, at: Mark) -> None:
    added = map_of(node).items.get("add")
    for name in texts_of(added) if added is not None else ():
        manifest.draft.add("cap_add", name.removeprefix("CAP_"), at)


def _read_only(manifest: Manifest, node: Node, at: Mark) -> None:
    if flag_of(node):
        manifest.draft.keep("read_only", True, at)


def _privileged(manifest: Manifest, node: Node, at: Mark) -> None:
    if flag_of(node):
        manifest.draft.note(at, NoteCode.MISSING_PART, "privileged: no job is")


def _grace(manifest: Manifest, node: Node, at: Mark) -> None:
    manifest.draft.keep("stop_grace_period", seconds(count_of(node)), at)


def _pod_deadline(manifest: Manifest, node: Node, at: Mark) -> None:
    manifest.draft.keep("timeout", seconds(count_of(node)), at)


def _mounts(manifest: Manifest, node: Node, at: Mark) -> None:  # noqa: ARG001
    volumes = manifest.pod.items.get("volumes")
    mount_volumes(manifest.draft, node, volumes, manifest.config)


def _account(manifest: Manifest, node: Node, at: Mark) -> None:
    if text_of(node) not in ("", "default"):
        message = f'serviceAccountName "{text_of(node)[:80]}": a run has no access to a cluster'
        manifest.draft.note(at, NoteCode.MISSING_PART, message)


_PLACEMENT = "there is one host"
_PROBE = "a run is judged by its exit code"
POD = Table[Manifest]("pod.", (
    Field("containers", "as below", "the first; more are **needed**", _containers),
    Field("initContainers", "", "put what they do into the job", _init_containers),
    Field("restartPolicy", "", "every attempt is a new container; `retries` counts them", silent=True),
    Field("activeDeadlineSeconds", "`timeout`", "", _pod_deadline),
    Field("terminationGracePeriodSeconds", "`stop_grace_period`", "", _grace),
    Field("volumes", "`volumes`, `files`", "where the container mounts them", silent=True),
    Field("securityContext", "`user`", "see container.securityContext", _security),
    Field("serviceAccountName", "", "other than `default` **needed**: no access to a cluster", _account),
    Field("serviceAccount", "", "as `serviceAccountName`", _account),
    Field("automountServiceAccountToken", silent=True), Field("enableServiceLinks", silent=True),
    Field("hostNetwork", "", "no job shares the host's network", need=True),
    Field("hostPID", "", "no job sees the host's processes", need=True),
    Field("hostIPC", "", "no job shares the host's memory", need=True),
    Field("shareProcessNamespace", "", "a job has one container"),
    Field("imagePullSecrets", "", "the service file has `registries`"),
    Field("dnsPolicy", idle=("ClusterFirst", "Default")), Field("dnsConfig"), Field("hostAliases", need=True),
    Field("hostname"), Field("subdomain"),
    Field("schedulerName", idle=("default-scheduler",)), Field("priorityClassName", "", "see `priority`"),
    Field("priority", "", "see `priority`"), Field("preemptionPolicy"), Field("runtimeClassName"),
    *(Field[Manifest](key, "", _PLACEMENT) for key in
      ("nodeSelector", "nodeName", "affinity", "tolerations", "topologySpreadConstraints")),
))  # fmt: skip
CONTAINER = Table[Manifest]("container.", (
    Field("name", "", "a job has one container", silent=True),
    Field("image", "`image`", "", _image),
    Field("imagePullPolicy", "`pull_policy`", "left out it is `always` for the tag `latest`", _pull),
    Field("command", "`entrypoint`", "`$(NAME)` becomes the value, where the file tells it", _argv("entrypoint")),
    Field("args", "`command`", "as `command`", _argv("command")),
    Field("workingDir", "`working_dir`", "", _working_dir),
    Field("env", "`environment`, `secrets`", "`fieldRef` and unknown ConfigMaps are **needed**", silent=True),
    Field("envFrom", "`environment`", "of a ConfigMap in the same file; others are **needed**", silent=True),
    Field("resources", "`resources`", "limits: cpu, memory, nvidia.com/gpu", _resources),
    Field("volumeMounts", "`volumes`, `files`", "see above", _mounts),
    Field("volumeDevices", need=True),
    Field("securityContext", "`user`, `read_only`, `cap_add`", "", _security),
    Field("lifecycle", need=True), Field("ports", "", "a job serves nobody"), Field("restartPolicy"),
    Field("livenessProbe", "", _PROBE), Field("readinessProbe", "", _PROBE), Field("startupProbe", "", _PROBE),
    Field("stdin"), Field("stdinOnce"), Field("tty"), Field("resizePolicy", silent=True),
    Field("terminationMessagePath", silent=True), Field("terminationMessagePolicy", silent=True),
))  # fmt: skip
SECURITY = Table[Manifest]("securityContext.", (
    Field("runAsUser", "`user`", "with `runAsGroup`", _user), Field("runAsGroup", "`user`", "", silent=True),
    Field("readOnlyRootFilesystem", "`read_only`", "", _read_only),
    Field("capabilities", "`cap_add`", "all others are dropped anyway", _added),
    Field("privileged", "", "true is **needed**: no job is", _privileged),
    Field("allowPrivilegeEscalation", "", "never", silent=True), Field("runAsNonRoot", "", "see `user`", silent=True),
    Field("fsGroup", "", "a volume keeps the owners that it has"), Field("fsGroupChangePolicy", silent=True),
    Field("supplementalGroups"), Field("seccompProfile", idle=()), Field("seLinuxOptions"), Field("sysctls", need=True),
    Field("appArmorProfile"), Field("procMount"), Field("windowsOptions", need=True),
))  # fmt: skip
CONTAINER_TABLES = (CONTAINER, SECURITY)
