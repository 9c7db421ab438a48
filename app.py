"""Start the web page: settings -> service -> page -> launch."""

from __future__ import annotations

import argparse
import logging
import os
import signal
import socket
import sys
import threading

from common.errors import SettingsError, StudioError
from common.settings import Server, Settings, load_settings
from preprocess.face_models import MODEL_FILES, model_directory, require_model
from studio.page.quick_import import no_mcp, no_stub_writing
from studio.service.storage import Storage


def main() -> int:
    """Serve until a signal ends it.

    Returns:
        The exit code: 0 ended by SIGINT, SIGTERM or SIGHUP, 2 wrong settings or the port is taken,
        4 the face models are missing.
    """
    argparse.ArgumentParser(
        prog="app.py", description="Serve the page. Settings come from config.yaml and STUDIO_..."
    ).parse_args()
    logging.basicConfig(format="%(levelname)s %(name)s: %(message)s", level=logging.WARNING)
    ended = threading.Event()
    for number in ending_signals():
        signal.signal(number, lambda *_: ended.set())
    try:
        settings = load_settings()
        require_free_port(settings.server)
        models = model_directory(settings.models.directory)
        for model in MODEL_FILES:
            require_model(model.name, models)
        storage = Storage(settings.storage.directory, settings.storage.keep_hours)
        try:
            return serve(settings, storage, ended)
        finally:
            storage.close()
    except StudioError as error:
        print(error.message, file=sys.stderr)  # noqa: T201 - a program's own output
        return error.exit_code


def serve(settings: Settings, storage: Storage, ended: threading.Event) -> int:
    """Put the page on the network and wait until ``ended`` is set."""
    prepare_environment(storage)
    # Gradio reads the environment when it is loaded, and errors above need not wait for it.
    with no_stub_writing(), no_mcp():
        from studio.page.layout import build_page, launch_options
    from studio.page.visits import Visits
    from studio.service.fusion_service import FusionService
    from studio.service.timings import timings_file

    service = FusionService(settings, storage)
    service.estimates.remember_in(timings_file())
    keep_s = settings.storage.keep_hours * 3600
    visits = Visits(keep_s, left=lambda visit: service.live.forget(visit.key))
    page = build_page(service, visits)
    try:
        page.launch(**launch_options(service))
    except OSError as error:  # taken since it was tried, or not an address of this machine
        raise no_port(settings.server) from error
    print(f"http://{address(settings.server)}", flush=True)  # noqa: T201
    storage.start_sweeping()
    service.warm_up()
    visits.watch()
    ended.wait()
    visits.close()
    service.close()
    page.close(verbose=False)
    return 0


def ending_signals() -> tuple[signal.Signals, ...]:
    """Ctrl+C, a service manager, and a terminal that closes unless nohup makes that harmless."""
    closes = signal.SIGHUP if hasattr(signal, "SIGHUP") else None  # Windows has none
    if closes is None or signal.getsignal(closes) is signal.SIG_IGN:
        return signal.SIGINT, signal.SIGTERM
    return signal.SIGINT, signal.SIGTERM, closes


def prepare_environment(storage: Storage) -> None:
    """What Gradio reads from the environment, some of it while it is imported."""
    os.environ["GRADIO_TEMP_DIR"] = str(storage.directory)
    os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
    os.environ["HF_HUB_OFFLINE"] = "1"
    # Gradio looks at its own address once; a proxy for the web must not be asked for it.
    for name in ("no_proxy", "NO_PROXY"):
        known = os.environ.get(name, "")
        os.environ[name] = ",".join(filter(None, (known, "127.0.0.1", "localhost", "::1")))


def require_free_port(server: Server) -> None:
    """Try the address before anything slow is done.

    Raises:
        SettingsError: Something listens there already, or it is no address of this machine.
    """
    try:
        family, kind, number, _, where = socket.getaddrinfo(
            server.host, server.port, type=socket.SOCK_STREAM
        )[0]
        with socket.socket(family, kind, number) as trial:
            trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            trial.bind(where)
    except OSError as error:
        raise no_port(server) from error


def no_port(server: Server) -> SettingsError:
    return SettingsError(
        f"cannot listen on {address(server)}: the port is in use or the address is not this "
        "machine's; stop the other program or set server.port, for example "
        f"STUDIO_SERVER__PORT={server.port % 65535 + 1}"
    )


def address(server: Server) -> str:
    """host:port as it stands in a link."""
    host = f"[{server.host}]" if ":" in server.host else server.host
    return f"{host}:{server.port}"


if __name__ == "__main__":
    sys.exit(main())
