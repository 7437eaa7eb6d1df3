"""Which GPUs a host has is found in bounded time, from whoever can tell, and never guessed."""

from pathlib import Path

from reconciler.app.devices import with_devices
from reconciler.model.service import DeviceConfig, ServiceConfig
from reconciler.workspace.gpus import find_gpus

A, B = "GPU-6a7f1c3e-0d4b-4c56-9f0e-1b2c3d4e5f60", "GPU-0b9d8e7f-1a2b-4c3d-8e4f-5a6b7c8d9e0f"
NONE = "no-such-program-here"


def driver(folder: Path, *uuids: str) -> Path:
    for number, uuid in enumerate(uuids):
        place = folder / f"0000:0{number}:00.0"
        place.mkdir(parents=True)
        (place / "information").write_text(f"Model:\t\t NVIDIA A100\nGPU UUID:\t {uuid}\nBus Type:\t PCIe\n")
    return folder


def program(folder: Path, text: str) -> str:
    path = folder / "nvidia-smi"
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return str(path)


def test_a_host_without_a_driver_has_none(tmp_path: Path) -> None:
    assert find_gpus(tmp_path / "absent", NONE) == ()


def test_the_driver_is_asked_first(tmp_path: Path) -> None:
    assert find_gpus(driver(tmp_path, A, B), NONE) == (A, B)


def test_what_the_driver_does_not_know_yet_its_program_tells(tmp_path: Path) -> None:
    unknown = driver(tmp_path / "driver", A, "GPU-????????-????-????-????-????????????")
    told = program(tmp_path, f'[ "$1" = -L ] && echo "GPU 0: A100 (UUID: {A})" && echo "GPU 1: A100 (UUID: {B})"')
    assert find_gpus(unknown, told) == (A, B)
    assert find_gpus(unknown, NONE) == ()


def test_a_program_that_fails_or_hangs_tells_nothing(tmp_path: Path) -> None:
    assert find_gpus(tmp_path / "absent", program(tmp_path, f"echo 'GPU 0: (UUID: {A})'; exit 9")) == ()
    assert find_gpus(tmp_path / "absent", program(tmp_path, "exec sleep 60"), 0.2) == ()


def test_what_the_service_file_names_counts(tmp_path: Path) -> None:
    assert with_devices(ServiceConfig(devices=DeviceConfig(("0",)))).devices.gpus == ("0",)
    assert with_devices(ServiceConfig(devices=DeviceConfig(()))).devices.gpus == ()


def test_an_engine_elsewhere_has_none_that_this_host_could_tell_of() -> None:
    assert with_devices(ServiceConfig(docker_host="tcp://10.0.0.7:2376")).devices.gpus == ()
