"""Start the server of the pages: bound to this machine, without statistics, everything in memory."""

from __future__ import annotations

import socket
from pathlib import Path
from typing import Any

from einthoven.errors import EinthovenError, MissingExtraError
from einthoven.explorer.settings import Settings, use

__all__ = ["launch", "options"]

_PAGE = Path(__file__).with_name("app.py")
_MIB = 1 << 20
_CONNECTION_LOST_S = 15  # how long a session outlives its page: a phone may lose its connection for a moment


def launch(settings: Settings, *, port: int = 8501, open_page: bool = True) -> None:
    """Serve the pages until the process is stopped.

    Args:
        settings: what the pages show.
        port: of ``localhost``.
        open_page: whether to open the page in the browser of this machine.

    Raises:
        MissingExtraError: Streamlit is not installed.
        EinthovenError: the port is taken.
    """
    try:
        from streamlit.web import bootstrap
    except ModuleNotFoundError:
        raise MissingExtraError("the Explorer", "explore") from None
    _check_port(port)
    _keep_in_memory()
    use(settings)
    chosen = options(port, open_page)
    bootstrap.load_config_options(chosen)
    print(f"The Explorer is at http://localhost:{port}  (Ctrl-C stops it). Not a medical device.", flush=True)
    bootstrap.run(str(_PAGE), False, [], chosen)


def options(port: int, open_page: bool) -> dict[str, Any]:
    """Return the options of Streamlit by name, with ``_`` between section and key."""
    from einthoven.explorer.intake import LIMITS

    return {
        "server_port": port,
        "server_address": "localhost",
        "server_headless": not open_page,
        "server_maxUploadSize": LIMITS.max_bytes // _MIB,
        "server_fileWatcherType": "none",
        "server_runOnSave": False,
        "server_disconnectedSessionTTL": _CONNECTION_LOST_S,
        "server_showEmailPrompt": False,
        "browser_gatherUsageStats": False,
        "client_toolbarMode": "minimal",
        "client_showErrorDetails": "none",
        "client_showErrorLinks": False,
        "logger_hideWelcomeMessage": True,
        "logger_level": "warning",
        "theme_base": "light",
        "theme_primaryColor": "#17548f",
        "theme_backgroundColor": "#f3f5f8",
        "theme_secondaryBackgroundColor": "#ffffff",
        "theme_textColor": "#18212f",
        "theme_borderColor": "#8a94a3",
        "theme_showWidgetBorder": True,
    }


def _check_port(port: int) -> None:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("localhost", port))
        except OSError as error:
            raise EinthovenError(f"port {port} cannot be used ({error.strerror}); name another with --port") from None


def _keep_in_memory() -> None:
    """Parts of an upload above 1 MiB would go through a temporary file otherwise."""
    from starlette.formparsers import MultiPartParser

    from einthoven.explorer.intake import LIMITS

    MultiPartParser.spool_max_size = 2 * LIMITS.max_bytes
