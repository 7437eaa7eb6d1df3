"""Promise: init scaffolds what works, and never overwrites what is there."""

from pathlib import Path

from reconciler.cli.main import main

SERVICE = "people: {anna: {email: anna@x.org}}\nowners: {ml: {paths: ['ml/**'], members: [anna]}}\n"


def test_S1_with_a_service_file_it_writes_CODEOWNERS_once(tmp_path: Path) -> None:
    service, repository = tmp_path / "service.yaml", tmp_path / "jobs"
    service.write_text(SERVICE)
    assert main(["init", str(repository), "--config", str(service)]) == 0
    written = repository / "CODEOWNERS"
    assert "/jobs.d/ml/** anna@x.org" in written.read_text().splitlines()
    written.write_text("mine\n")
    assert main(["init", str(repository), "--config", str(service)]) == 0
    assert written.read_text() == "mine\n"


def test_without_one_there_are_no_owners_to_name(tmp_path: Path) -> None:
    assert main(["init", str(tmp_path)]) == 0
    assert not (tmp_path / "CODEOWNERS").exists()
