"""The Engine's side of scripts/example-image: answers | present NAME | pull FROM NAME | import NAME (tar on stdin).

Exit code 0 = yes or done, 1 = no.
"""

import sys

import docker
from docker.errors import DockerException, ImageNotFound
from requests.exceptions import RequestException

ANSWER_WITHIN = 5  # seconds
PULL_WITHIN = 60


def client(timeout: int) -> docker.DockerClient:
    return docker.from_env(timeout=timeout)


def answers() -> bool:
    return bool(client(ANSWER_WITHIN).ping())


def present(name: str) -> bool:
    try:
        client(ANSWER_WITHIN).images.get(name)
    except ImageNotFound:
        return False
    return True


def pull(source: str, name: str) -> bool:
    repository, _, tag = name.rpartition(":")
    return bool(client(PULL_WITHIN).images.pull(source).tag(repository, tag))


def load(name: str) -> bool:
    repository, _, tag = name.rpartition(":")
    client(PULL_WITHIN).api.import_image_from_data(
        sys.stdin.buffer.read(), repository=repository, tag=tag, changes=['CMD ["/bin/sh"]', "ENV PATH=/usr/bin:/bin"]
    )
    return present(name)


VERBS = {"answers": answers, "present": present, "pull": pull, "import": load}

if __name__ == "__main__":
    try:
        done = VERBS[sys.argv[1]](*sys.argv[2:])
    except (DockerException, RequestException) as error:
        if sys.argv[1] == "import":
            print(f"example-image: {error}", file=sys.stderr)
        done = False
    sys.exit(0 if done else 1)
