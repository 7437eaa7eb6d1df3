"""Promise: with `source.require_signed` only what one of `people` has signed for git is applied, and nothing that a
repository holds, whoever may write to it, makes another commit look so."""

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from reconciler.gitio.objects import Objects
from reconciler.gitio.runner import GitRunner
from reconciler.gitio.sshkeygen import Keygen
from reconciler.model.errors import SourceRejected, SourceUnavailable
from reconciler.model.service import GitConfig, SourceConfig
from reconciler.source.base import trusted
from reconciler.source.open import open_source
from reconciler.source.signatures import Signatures, Verdict
from reconciler.spec.sshkeys import parse_key
from tests.lab.githttp import GitHttp
from tests.lab.gitrepo import GitRepo, git
from tests.lab.judged import opened, person, put, refusal, seen
from tests.lab.signing import SshKey, commit_signed, ssh_key, with_signature

JOB = "schedule: '@hourly'\nimage: busybox:local\n"
PGP = "-----BEGIN PGP SIGNATURE-----\n\niQEzBAABCAAdFiEE\n=abcd\n-----END PGP SIGNATURE-----"


@pytest.fixture
def anna(tmp_path: Path) -> SshKey:
    return ssh_key(tmp_path / "anna")


@pytest.fixture
def eve(tmp_path: Path) -> SshKey:
    """Nobody's."""
    return ssh_key(tmp_path / "eve")


@pytest.fixture
def repo(tmp_path: Path, anna: SshKey) -> GitRepo:
    repo = GitRepo(tmp_path / "work")
    commit_signed(repo, {"jobs.d/a.yaml": JOB}, anna, "Lay the ground")
    return repo


# -- one commit ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "kind", [("-t", "ed25519"), ("-t", "rsa", "-b", "2048"), ("-t", "ecdsa", "-b", "256")], ids=lambda kind: kind[1]
)
def test_S1_a_commit_that_one_of_people_signed_is_let_in_and_names_the_signer(
    repo: GitRepo, tmp_path: Path, kind: tuple[str, ...], eve: SshKey
) -> None:
    key = ssh_key(tmp_path / "cleo", *kind)
    head = commit_signed(repo, {"jobs.d/b.yaml": JOB}, key)
    snapshot = trusted(seen(repo, person("cleo", eve, key)))
    assert (snapshot.commit.id, snapshot.commit.signed_by) == (head, "cleo")
    assert [entry.path for entry in snapshot.entries] == ["a.yaml", "b.yaml"]
    assert parse_key(key.public).fingerprint == key.fingerprint


def test_S1_a_repository_of_sha256_is_judged_too(tmp_path: Path, anna: SshKey) -> None:
    (tmp_path / "new").mkdir()
    git(tmp_path / "new", "init", "-q", "-b", "main", "--object-format=sha256")
    repo = GitRepo(tmp_path / "new")
    commit_signed(repo, {"jobs.d/a.yaml": JOB}, anna)
    assert trusted(seen(repo, person("anna", anna))).commit.signed_by == "anna"
    repo.git("commit", "-q", "--amend", "-m", "unsigned")
    assert refusal(seen(repo, person("anna", anna)))[0] == "commit-unsigned"


def test_S1_an_unsigned_commit_is_not(repo: GitRepo, anna: SshKey) -> None:
    head = repo.commit({"jobs.d/a.yaml": JOB + "#\n"})
    code, message = refusal(seen(repo, person("anna", anna)))
    assert (code, message) == ("commit-unsigned", f"cannot apply commit {head[:7]}: it is not signed")


def test_S1_a_key_of_nobody_is_told_by_its_fingerprint_and_so_is_one_that_was_taken_away(
    repo: GitRepo, anna: SshKey, eve: SshKey
) -> None:
    code, message = refusal(seen(repo, person("eve", eve)))  # anna's was removed
    assert code == "commit-signature-unknown" and anna.fingerprint in message
    commit_signed(repo, {"jobs.d/a.yaml": JOB + "#\n"}, eve)
    code, message = refusal(seen(repo, person("anna", anna)))
    assert code == "commit-signature-unknown" and eve.fingerprint in message


def test_S1_a_signature_fits_one_commit_alone(repo: GitRepo, anna: SshKey) -> None:
    good = repo.git("cat-file", "commit", repo.head())
    forged = good.replace("Lay the ground", "Dig a hole")
    commit = repo.git("hash-object", "-t", "commit", "-w", "--stdin", stdin=(forged + "\n").encode())
    repo.git("update-ref", "refs/heads/main", commit)
    code, message = refusal(seen(repo, person("anna", anna)))
    assert code == "commit-signature-bad" and f"of anna ({anna.fingerprint})" in message


@pytest.mark.parametrize("what", ["commit", "tree", "tree of the jobs", "tree below", "blob"])
def test_S5_an_object_that_is_not_what_its_id_says_is_found_out(repo: GitRepo, anna: SshKey, what: str) -> None:
    applied = repo.head()
    between = commit_signed(repo, {"jobs.d/ml/c.yaml": JOB}, anna)
    head = commit_signed(repo, {"jobs.d/ml/c.yaml": JOB + "#\n"}, anna)
    repo.commit({"jobs.d/ml/c.yaml": JOB + "#evil\n"})
    if what == "commit":
        put(repo, between, repo.git("commit-tree", "HEAD:", "-p", applied, "-m", "evil"))
    else:
        name = {"tree": "", "tree of the jobs": "jobs.d", "tree below": "jobs.d/ml", "blob": "jobs.d/ml/c.yaml"}[what]
        put(repo, *(repo.git("rev-parse", f"{commit}:{name}") for commit in (head, "HEAD")))
    repo.git("update-ref", "refs/heads/main", head)
    source = opened(repo.path, person("anna", anna), demand="range")
    with pytest.raises(SourceRejected) as caught:
        source.read([entry.blob for entry in trusted(source.snapshot(applied)).entries])
    assert caught.value.code == "source-corrupt"


def test_S1_a_signature_of_pgp_is_not_read(repo: GitRepo, anna: SshKey) -> None:
    with_signature(repo, repo.commit({"jobs.d/b.yaml": JOB}), PGP)
    code, message = refusal(seen(repo, person("anna", anna)))
    assert code == "commit-signature-unknown" and "PGP" in message


def test_S1_a_signature_for_another_purpose_does_not_count(repo: GitRepo, anna: SshKey) -> None:
    commit = repo.commit({"jobs.d/b.yaml": JOB})
    raw = (repo.git("cat-file", "commit", commit) + "\n").encode()
    with_signature(repo, commit, anna.signature(raw, "file"))
    code, message = refusal(seen(repo, person("anna", anna)))
    assert code == "commit-signature-bad" and "not made for git" in message
    with_signature(repo, commit, anna.signature(raw, "git"))  # what git itself would have written
    assert trusted(seen(repo, person("anna", anna))).commit.signed_by == "anna"


DAMAGED = {
    "cut short": lambda text: text.rpartition("\n-----END")[0],
    "no base64": lambda text: text.replace("U1NIU0lH", "U1NI*0lH"),
    "of another version": lambda text: text.replace("U1NIU0lHAAAAAQ", "U1NIU0lHAAAAAg"),
    "empty": lambda _text: "-----BEGIN SSH SIGNATURE-----\n-----END SSH SIGNATURE-----",
}


@pytest.mark.parametrize("how", DAMAGED, ids=list(DAMAGED))
def test_S1_a_damaged_signature_is_a_bad_one(repo: GitRepo, anna: SshKey, how: str) -> None:
    commit = repo.commit({"jobs.d/b.yaml": JOB})
    raw = (repo.git("cat-file", "commit", commit) + "\n").encode()
    with_signature(repo, commit, DAMAGED[how](anna.signature(raw, "git")))
    assert refusal(seen(repo, person("anna", anna)))[0] == "commit-signature-bad"


def test_S1_two_signatures_are_not_one_that_is_good(repo: GitRepo, anna: SshKey, eve: SshKey) -> None:
    commit = repo.commit({"jobs.d/b.yaml": JOB})
    raw = (repo.git("cat-file", "commit", commit) + "\n").encode()
    once = with_signature(repo, commit, eve.signature(raw, "git"))
    with_signature(repo, once, anna.signature(raw, "git"))
    assert refusal(seen(repo, person("anna", anna)))[0] == "commit-signature-bad"


def test_S1_a_signed_tag_does_not_sign_its_commit(repo: GitRepo, anna: SshKey) -> None:
    repo.commit({"jobs.d/b.yaml": JOB})
    repo.git(*anna.signing, "tag", "-s", "-m", "release", "v1")
    config = SourceConfig(str(repo.path), "v1", require_signed="head")
    source = open_source(config, GitConfig(timeout=20.0), "", (person("anna", anna),))
    assert refusal(source.snapshot(None))[0] == "commit-unsigned"


# -- a range -------------------------------------------------------------------------------------------------------


def test_S1_every_commit_of_a_range_must_be_signed_and_of_the_head_only_the_head(repo: GitRepo, anna: SshKey) -> None:
    people, applied = person("anna", anna), repo.head()
    between = repo.commit({"jobs.d/b.yaml": JOB})
    commit_signed(repo, {"jobs.d/c.yaml": JOB}, anna)
    assert trusted(seen(repo, people, applied=applied)).commit.signed_by == "anna"
    snapshot = seen(repo, people, demand="range", applied=applied)
    assert refusal(snapshot) == ("commit-unsigned", f"cannot apply commit {between[:7]}: it is not signed")
    assert trusted(seen(repo, people, demand="range", applied=between)).commit.signed_by == "anna"
    assert trusted(seen(repo, people, demand="range")).commit.signed_by == "anna"  # a first apply


def test_S1_a_signed_merge_vouches_for_its_branch_and_heals_an_unsigned_line(repo: GitRepo, anna: SshKey) -> None:
    people, applied = person("anna", anna), repo.head()
    repo.commit({"jobs.d/b.yaml": JOB})
    unsigned = repo.commit({"jobs.d/c.yaml": JOB})
    assert refusal(seen(repo, people, demand="range", applied=applied))[0] == "commit-unsigned"
    repo.git("checkout", "-q", "--detach", applied)
    repo.git(*anna.signing, "merge", "-q", "--no-ff", "-S", "-m", "Merge it", unsigned)
    merge = repo.head()
    repo.git("branch", "-f", "main", merge)
    snapshot = trusted(seen(repo, people, demand="range", applied=applied))
    assert (snapshot.commit.id, snapshot.commit.signed_by) == (merge, "anna")
    repo.git("checkout", "-q", "--detach", unsigned)  # the other way round: the unsigned line is the first parent
    commit_signed(repo, {}, anna, "on top")
    repo.git(*anna.signing, "merge", "-q", "--no-ff", "-S", "-m", "Merge it", merge)
    repo.git("branch", "-f", "main", repo.head())
    assert refusal(seen(repo, people, demand="range", applied=applied))[0] == "commit-unsigned"


def test_S1_a_range_beyond_its_bound_is_refused(repo: GitRepo, anna: SshKey) -> None:
    people, applied = person("anna", anna), repo.head()
    lines = []
    for number in range(1001):
        lines.append(f"commit refs/heads/main\ncommitter A <a@x> {1700000000 + number} +0000\ndata 1\nx\n")
        lines.append(f"from {applied}\n" if number == 0 else "")
    repo.git("fast-import", "--quiet", "--force", stdin="".join(lines).encode())
    assert refusal(seen(repo, people, demand="range", applied=applied))[0] == "commits-too-many"
    assert refusal(seen(repo, people, applied=applied))[0] == "commit-unsigned"


def test_S1_a_range_that_takes_longer_than_one_try_is_judged_in_several(
    repo: GitRepo, tmp_path: Path, anna: SshKey
) -> None:
    applied = repo.head()
    for number in range(5):
        commit_signed(repo, {"jobs.d/b.yaml": f"{JOB}#{number}\n"}, anna)
    slow, count = tmp_path / "keygen", tmp_path / "count"
    slow.write_text(
        f"#!/bin/sh\necho >>{count}\n"
        f'[ $(($(wc -l <{count}) % 3)) = 0 ] && exec sleep 600\nexec ssh-keygen "$@"\n'  # each third does not end
    )
    slow.chmod(0o755)
    runner = GitRunner()
    objects = Objects(runner, str(repo.path / ".git"), "work", 20.0)
    people = [person("anna", anna)]
    judge = Signatures(objects, Keygen(runner, str(slow)), "range", people, ["jobs.d"], 2.0)
    for _ in range(2):  # two commits each
        with pytest.raises(SourceUnavailable) as caught:
            judge.judge(repo.head(), applied, descends=True)
        assert caught.value.code == "git-timeout"
    assert judge.judge(repo.head(), applied, descends=True) == Verdict("anna")


@pytest.mark.parametrize("demand", ["head", "range"])
def test_D5_an_older_signed_commit_is_told_not_to_descend(repo: GitRepo, anna: SshKey, demand: str) -> None:
    older = repo.head()
    applied = commit_signed(repo, {"jobs.d/b.yaml": JOB}, anna)
    repo.git("reset", "-q", "--hard", older)
    snapshot = trusted(seen(repo, person("anna", anna), demand=demand, applied=applied))
    assert (snapshot.commit.id, snapshot.commit.signed_by, snapshot.descends) == (older, "anna", False)
    repo.git("reset", "-q", "--hard", repo.commit({"jobs.d/c.yaml": JOB}))
    assert refusal(seen(repo, person("anna", anna), demand=demand, applied=applied))[0] == "commit-unsigned"


def test_S1_what_is_applied_stays_so_when_its_signer_has_left(repo: GitRepo, anna: SshKey, eve: SshKey) -> None:
    for demand in ("head", "range"):
        snapshot = trusted(seen(repo, person("eve", eve), demand=demand, applied=repo.head()))
        assert snapshot.commit.signed_by == ""


# -- where it is asked ---------------------------------------------------------------------------------------------


def test_S5_nothing_that_a_repository_configures_has_a_say(repo: GitRepo, tmp_path: Path, anna: SshKey) -> None:
    canary, yes = tmp_path / "canary", tmp_path / "yes.sh"
    yes.write_text(f'#!/bin/sh\necho "$@" >>{canary}\necho "Good \\"git\\" signature for anna with ED25519 key x"\n')
    yes.chmod(0o755)
    everybody = tmp_path / "everybody"
    everybody.write_text(f"* {anna.public}\n")
    for name, value in {"gpg.program": yes, "gpg.ssh.program": yes, "gpg.x509.program": yes, "gpg.format": "ssh",
                        "gpg.ssh.allowedSignersFile": everybody, "gpg.ssh.defaultKeyCommand": yes,
                        "gpg.minTrustLevel": "undefined", "alias.cat-file": f"!{yes}"}.items():  # fmt: skip
        repo.git("config", name, str(value))
    stranger = person("cleo", ssh_key(tmp_path / "cleo"))
    assert refusal(seen(repo, stranger))[0] == "commit-signature-unknown"
    with_signature(repo, repo.commit({"jobs.d/b.yaml": JOB}), PGP)
    assert refusal(seen(repo, person("anna", anna)))[0] == "commit-signature-unknown"
    evil, good = repo.commit({"jobs.d/c.yaml": JOB}), repo.git("rev-parse", "HEAD~2")
    repo.git("replace", evil, good)
    assert refusal(seen(repo, person("anna", anna)))[0] == "commit-unsigned"
    assert not canary.exists()


@pytest.fixture
def server(tmp_path: Path) -> Iterator[GitHttp]:
    with GitHttp(tmp_path / "srv") as server:
        yield server


def test_S1_a_remote_is_judged_too_and_a_file_url(repo: GitRepo, tmp_path: Path, server: GitHttp, anna: SshKey) -> None:
    (tmp_path / "srv").mkdir()
    bare = repo.bare_clone(tmp_path / "srv/jobs.git")
    remote = opened(f"{server.url}/jobs.git", person("anna", anna), demand="range", cache=tmp_path / "cache")
    applied = trusted(remote.snapshot(None)).commit.id
    repo.commit({"jobs.d/b.yaml": JOB})
    repo.push()
    for source in (remote, opened(f"file://{bare}", person("anna", anna), demand="range", cache=tmp_path / "other")):
        assert refusal(source.snapshot(applied))[0] == "commit-unsigned"
    refused = remote.snapshot(applied)
    server.requests.clear()
    remote.head()
    look = list(server.requests)
    server.requests.clear()
    assert remote.snapshot(applied) is refused and server.requests == look  # nothing is fetched again


def test_S1_what_was_judged_once_needs_no_child_again(repo: GitRepo, anna: SshKey) -> None:
    source = opened(repo.path, person("anna", anna))
    objects, elsewhere = repo.path / ".git/objects", repo.path / ".git/elsewhere"  # without them every child fails
    good = source.snapshot(None)
    objects.rename(elsewhere)
    assert source.snapshot(good.commit.id) is good
    elsewhere.rename(objects)
    repo.commit({"jobs.d/b.yaml": JOB})
    refused = source.snapshot(good.commit.id)
    objects.rename(elsewhere)
    assert source.snapshot(good.commit.id) is refused
    assert refusal(refused)[0] == "commit-unsigned"


def test_S1_a_plain_directory_bears_no_signature(repo: GitRepo, anna: SshKey) -> None:
    with pytest.raises(SourceRejected) as caught:
        opened(f"dir:{repo.path}", person("anna", anna))
    assert caught.value.code == "commit-unsigned"


# -- ssh-keygen ----------------------------------------------------------------------------------------------------

BROKEN = {
    "absent": ("", "ssh-keygen-missing"),
    "too old for -Y": ("echo 'unknown option -- Y' >&2; exit 1", "ssh-keygen-failed"),
    "killed": ("kill -9 $$", "ssh-keygen-failed"),
    "agreeable": ("exit 0", "ssh-keygen-failed"),
}


@pytest.mark.parametrize(("script", "code"), BROKEN.values(), ids=BROKEN)
def test_S1_without_a_working_ssh_keygen_nothing_is_taken_for_good(tmp_path: Path, script: str, code: str) -> None:
    program = tmp_path / "keygen"
    if script:
        program.write_text(f"#!/bin/sh\n{script}\n")
        program.chmod(0o755)
    with pytest.raises(SourceRejected) as caught:
        Keygen(GitRunner(), str(program)).check(20.0)
    assert caught.value.code == code and caught.value.hint


def test_the_ssh_keygen_of_this_machine_is_fit() -> None:
    Keygen(GitRunner()).check(20.0)


def test_git_itself_calls_good_what_is_let_in(repo: GitRepo, tmp_path: Path, anna: SshKey) -> None:
    """The commit is taken apart by us: git's own reading must come to the same."""
    allowed = tmp_path / "allowed"
    allowed.write_text(f"anna {anna.public}\n")
    argv = ["git", "-c", f"gpg.ssh.allowedSignersFile={allowed}", "verify-commit", "HEAD"]
    done = subprocess.run(argv, cwd=repo.path, capture_output=True, text=True)
    assert (done.returncode, "for anna" in done.stderr) == (0, True)
    assert trusted(seen(repo, person("anna", anna))).commit.signed_by == "anna"
