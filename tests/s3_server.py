"""A real S3 server on the loopback (moto's), and a proxy before it that answers slowly, with errors, or cut short."""

import http.client
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class FaultyProxy:
    """Passes reads on to a server; ``mode`` says what goes wrong, ``times`` how often (None: always)."""

    def __init__(self, port: int) -> None:
        self.mode, self.times, self.seen, self.only = "", None, 0, ""
        proxy = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self):
                proxy._answer(self, port)

            do_HEAD = do_GET  # noqa: N815 -- the name that the server calls

            def log_message(self, *_):
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def fail(self, mode: str, times: int | None = None, only: str = "") -> None:
        self.mode, self.times, self.seen, self.only = mode, times, 0, only

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def _answer(self, handler, port):
        upstream = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
        upstream.request(handler.command, handler.path, headers=dict(handler.headers))
        answer = upstream.getresponse()
        status, headers, body = answer.status, answer.getheaders(), answer.read()
        upstream.close()
        length = int(dict((k.lower(), v) for k, v in headers).get("content-length", len(body)))
        faulty = self.mode and self.only in handler.path and (self.times is None or self.seen < self.times)
        faulty = faulty and (self.mode != "cut" or len(body) > 1000)
        if faulty:
            self.seen += 1
            if self.mode == "error":
                status, body = 503, b"<Error><Code>SlowDown</Code><Message>busy</Message></Error>"
                length = len(body)
            if self.mode == "hang":
                time.sleep(5)
            if self.mode == "slow":
                time.sleep(0.2)
        handler.send_response(status)
        for name, value in headers:
            if name.lower() not in ("content-length", "connection", "transfer-encoding"):
                handler.send_header(name, value)
        handler.send_header("Content-Length", str(length))
        handler.end_headers()
        if handler.command != "HEAD":
            if faulty and self.mode == "cut":
                handler.wfile.write(body[: len(body) // 2])
                handler.close_connection = True
                handler.connection.close()
                return
            handler.wfile.write(body)
