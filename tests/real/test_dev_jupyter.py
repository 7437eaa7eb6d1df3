"""Promise: a notebook is reached at the host's loopback, with its token, and nowhere else, while its client is there.

Jupyter itself is no part of the tests' image: what answers here is a script of that name with the same options, so the
way is shown up to its command line."""

import re
import urllib.error
import urllib.request
from collections.abc import Iterator

import docker
import pytest

from tests.kit.dev import assert_nothing_left, client, dev_service, piped
from tests.kit.service import PATIENCE, ServiceChild, eventually
from tests.kit.standing import run_containers
from tests.lab.python_image import PYTHON

pytestmark = [pytest.mark.docker, pytest.mark.timeout(300)]

SERVER = """#!/bin/python3
import http.server, os, sys
if "--version" in sys.argv:
    sys.exit(0)
options = dict(word.lstrip("-").split("=", 1) for word in sys.argv if "=" in word)
class Config(dict):
    def __missing__(self, name):
        return self.setdefault(name, Config())
    __getattr__, __setattr__ = dict.__getitem__, dict.__setitem__
c = Config()
exec(open(options["config"]).read())
class Answer(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        known = self.path == "/?token=" + c.IdentityProvider.token
        self.send_response(200 if known else 403)
        self.end_headers()
        self.wfile.write(" ".join(sys.argv[1:]).encode() if known else b"")
http.server.HTTPServer((options["ip"], int(options["port"])), Answer).serve_forever()
"""
JOB = f"""
schedule: manual
image: {PYTHON}
script: "true"
files:
  /usr/local/bin/jupyter:
    mode: "0555"
    content: |
{"".join(f"      {line}" + chr(10) for line in SERVER.splitlines())}"""
ALONE = f"schedule: manual\nimage: {PYTHON}\nnetworks: [none]\nscript: 'true'\n"
WITHOUT = f"schedule: manual\nimage: {PYTHON}\nscript: 'true'\n"


@pytest.fixture(scope="module")
def service(docker_host: str) -> Iterator[ServiceChild]:
    with dev_service(docker_host, {"ml/train": JOB, "ml/alone": ALONE, "ml/without": WITHOUT}) as made:
        yield made


def fetched(url: str) -> tuple[int, str]:
    try:
        with urllib.request.urlopen(url, timeout=10) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, ""
    except OSError:
        return 0, ""


def test_a_notebook_is_at_the_loopback_with_its_token_until_its_client_goes(service: ServiceChild) -> None:
    with client(service, "ml/train", "--jupyter") as child:
        assert child.stderr is not None
        url = re.search(r"http://127\.0\.0\.1:[0-9]+/\?token=[0-9a-f]{48}", child.stderr.readline())
        assert url is not None
        status, said = eventually(lambda: (found := fetched(url[0]))[0] and found, "the notebook answers")
        assert status == 200 and said.split()[0] == "lab" and "--no-browser" in said.split()
        assert fetched(url[0][:-1] + ("0" if url[0][-1] != "0" else "1"))[0] == 403
        (run_id,) = run_containers(service.docker_host, service.instance)
        engine = docker.APIClient(base_url=service.docker_host, version="1.41", timeout=30)
        ports = engine.inspect_container(f"{service.instance}.{run_id}")["NetworkSettings"]["Ports"]
        engine.close()
        (published,) = [place for places in ports.values() for place in places or ()]
        assert published["HostIp"] == "127.0.0.1" and f":{published['HostPort']}/" in url[0]
        child.terminate()
        assert child.wait(PATIENCE) == 143
    assert fetched(url[0])[0] == 0
    assert_nothing_left(service)


def test_without_jupyter_or_a_network_it_says_so(service: ServiceChild) -> None:
    done = piped(service, "", "--jupyter", job="ml/without")
    assert done.returncode == 127 and "the image has no jupyter" in done.stderr, done
    done = piped(service, "", "--jupyter", job="ml/alone")
    assert done.returncode == 1 and done.stderr.splitlines()[0].endswith("[dev-no-network]"), done
    assert_nothing_left(service)
