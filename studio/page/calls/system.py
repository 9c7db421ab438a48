"""The call of the System tab."""

from __future__ import annotations

from studio.page.calls import Asked, Data, read
from studio.page.messages import for_page
from studio.page.views import device_name
from studio.page.visits import Visit, Visits
from studio.service.fusion_service import FusionService
from studio.service.system import SystemReport, report


class SystemCalls:
    """See the module.

    Args:
        service: Whose state is told.
    """

    names = ("system",)

    def __init__(self, service: FusionService, _: Visits) -> None:
        self._service = service

    def system(self, visit: Visit, data: Data) -> Data:  # noqa: ARG002 - the same for everybody
        """The state of the studio now, and the same as a text to copy."""
        read(Asked, data)
        told = report(self._service)
        view = told.as_dict()
        storage = self._service.storage.directory
        for kind in ("reason", "problem"):
            if view["engine"][kind] is not None:
                view["engine"][kind] = for_page(view["engine"][kind], storage)
        device = told.engine.device
        view["engine"]["device"] = None if device is None else device_name(device)
        return view | {"text": as_text(told, view["engine"])}


def as_text(told: SystemReport, engine: Data) -> str:
    """The report for a message to somebody who helps: English, a line for each figure.

    Args:
        engine: Its sentences without the places of files.
    """
    machine, limits = told.machine, told.limits
    lines = [f"{name} {version}" for name, version in told.versions.items()]
    lines.append(f"engine: {told.engine.name} on {told.engine.device or 'nothing'}")
    lines += [engine[kind]["en"] for kind in ("reason", "problem") if engine[kind] is not None]
    lines += [
        f"GPU: {gpu.name}, {gpu.used_mb:.0f} of {gpu.total_mb:.0f} MiB used"
        + ("" if gpu.utilisation is None else f", {gpu.utilisation} % busy")
        for gpu in told.engine.gpus
    ]
    lines += [
        f"cores: {machine.cores}",
        f"memory: {machine.memory_own_mb:.0f} MiB used by the studio, {machine.memory_free_mb:.0f} "
        f"MiB free, {machine.memory_total_mb:.0f} MiB in all",
        f"disk: {machine.disk_free_mb:.0f} of {machine.disk_total_mb:.0f} MiB free",
    ]
    for name, load in (("fusions", told.fusions), ("uploads", told.uploads)):
        lines.append(
            f"{name}: {load.running} of {load.most_running} running, {load.waiting} of "
            f"{load.most_waiting} waiting"
        )
    for model in told.models:
        lacking = [*model.missing, *(f"package {package}" for package in model.packages)]
        state = f"missing {', '.join(lacking)}" if lacking else "complete"
        lines.append(f"models of {model.name}: {state}")
    memory = "automatic" if limits.memory_mb is None else f"{limits.memory_mb} MiB"
    lines.append(
        f"limits: upload {limits.upload_mb} MB, {limits.megapixels:g} megapixels, memory {memory}, "
        f"{limits.deadline_s:g} s for a job, files kept {limits.keep_hours:g} h"
    )
    return "\n".join(lines)
