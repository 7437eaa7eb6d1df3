"""Promise: what a `.gitmodules` says is read as git reads it, and no place is named that is not its business."""

import pytest

from reconciler.model.errors import SourceRejected
from reconciler.spec.giturl import parse_url
from reconciler.spec.submodules import Submodule, check, sections, whole_url

RELATIVE = {
    "a sibling, over ssh": ("ssh://git@h:22/ml/churn.git", "../lib.git", "ssh://git@h:22/ml/lib.git"),
    "a sibling, in the short form": ("git@h:ml/churn.git", "../lib.git", "git@h:ml/lib.git"),
    "at the root of the short form": ("git@h:churn.git", "../lib.git", "git@h:lib.git"),
    "an absolute path in the short form": ("git@h:/srv/churn.git", "../lib.git", "git@h:/srv/lib.git"),
    "two up, over https": ("https://h/ml/churn", "../../ops/lib", "https://h/ops/lib"),
    "below it": ("https://h/ml/churn", "./lib", "https://h/ml/churn/lib"),
    "a slash at the end": ("https://h/ml/churn/", "../lib/", "https://h/ml/lib"),
    "beside a path of this host": ("/srv/git/churn.git", "../lib.git", "/srv/git/lib.git"),
    "beside a file:// of this host": ("file:///srv/git/churn.git", "../lib.git", "/srv/git/lib.git"),
    "a whole one": ("/srv/git/churn.git", "https://h/lib.git", "https://h/lib.git"),
    "another host": ("https://h/ml/churn", "git@other:lib.git", "git@other:lib.git"),
}

REFUSED = {
    "out of the host": ("https://h/ml/churn", "../../../x"),
    "out of the host, in the short form": ("git@h:churn.git", "../../x"),
    "the root itself": ("https://h/ml", "../"),
    "a path": ("https://h/ml/churn", "/srv/git/lib.git"),
    "a path, beside a path": ("/srv/git/churn.git", "/srv/git/lib.git"),
    "a path without a slash": ("https://h/ml/churn", "lib"),
    "a file": ("https://h/ml/churn", "file:///srv/git/lib.git"),
    "a directory": ("https://h/ml/churn", "dir:/srv"),
    "a program": ("https://h/ml/churn", "ext::sh -c touch% /x"),
    "a file descriptor": ("https://h/ml/churn", "fd::17"),
    "an option": ("https://h/ml/churn", "-oProxyCommand=x"),
    "an option below": ("git@h:ml/churn.git", "../../-x"),
    "plain git": ("https://h/ml/churn", "git://h/lib"),
    "plain http elsewhere": ("https://h/ml/churn", "http://h/lib"),
    "a password": ("https://h/ml/churn", "https://u:secret@h/lib"),
    "a line break": ("https://h/ml/churn", "../lib\nx"),
    "a control character": ("https://h/ml/churn", "../lib\x1b[2J"),
}


@pytest.mark.parametrize(("base", "url", "whole"), RELATIVE.values(), ids=RELATIVE)
def test_a_url_is_made_whole(base: str, url: str, whole: str) -> None:
    assert whole_url(url, parse_url(base)) == whole


@pytest.mark.parametrize(("base", "url"), REFUSED.values(), ids=REFUSED)
def test_S5_a_url_that_may_do_more_is_refused(base: str, url: str) -> None:
    with pytest.raises(SourceRejected) as caught:
        whole_url(url, parse_url(base))
    assert caught.value.code == "code-submodule"
    assert "secret" not in str(caught.value) and str(caught.value).isprintable()


def test_sections_are_read_as_git_lists_them() -> None:
    listing = (
        b"a.b\nx\0submodule.lib.path\nsub/lib/\0submodule.lib.url\n../lib.git\0submodule.lib.update\n!touch x\0"
        b"submodule.a.b c.path\nother\0submodule.a.b c.url\nhttps://h/x\0submodule.lib.path\nlib\0submodule.none.url\nx\0"
        b"submodule.path\nnameless\0submodule.flag.path\0"
    )
    assert sections(listing) == {
        "lib": Submodule("lib", "lib", "../lib.git"), "other": Submodule("a.b c", "other", "https://h/x"),
    }  # fmt: skip
    assert sections(b"") == {} and sections(b"\xff\0\0\n") == {}


@pytest.mark.parametrize("path", ["../x", "a/../../x", ".git", "a/.GIT/x", "a//b", "a\nb", "a\x1b", "", "/x"])
def test_S5_a_path_that_leads_elsewhere_is_refused(path: str) -> None:
    with pytest.raises(SourceRejected) as caught:
        check(path, Submodule("lib", path, "../lib.git"))
    assert caught.value.code == "code-submodule" and str(caught.value).isprintable()


@pytest.mark.parametrize("name", ["..", "../x", "a/../b", "-x", "a\nb", "x" * 256])
def test_S5_a_name_that_is_none_is_refused(name: str) -> None:
    with pytest.raises(SourceRejected) as caught:
        check("lib", Submodule(name, "lib", "../lib.git"))
    assert caught.value.code == "code-submodule" and str(caught.value).isprintable()


def test_one_without_a_url_is_said() -> None:
    for known in (None, Submodule("lib", "lib", "")):
        with pytest.raises(SourceRejected, match='"lib" has no `url`'):
            check("lib", known)
    assert check("sub/lib", Submodule("lib", "sub/lib", "x")).name == "lib"
