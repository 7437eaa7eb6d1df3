"""The configuration with the devices of this host: those that the service file names, else those that are found."""

import os
from dataclasses import replace

from ..model.service import DeviceConfig, ServiceConfig
from ..workspace.gpus import find_gpus


def with_devices(config: ServiceConfig) -> ServiceConfig:
    """What `devices.gpus` says counts, an empty list too. An engine on another host has other devices than this one."""
    if config.devices.gpus is not None:
        return config
    host = config.docker_host or os.environ.get("DOCKER_HOST", "")
    local = config.engine == "process" or not host or host.startswith("unix://")
    return replace(config, devices=DeviceConfig(find_gpus() if local else ()))
