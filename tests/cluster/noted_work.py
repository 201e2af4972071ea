"""Work that leaves notes of where it began and ended, so that a test can kill a node in the midst of it."""

import threading
import time
import uuid

import ray


def noted(folder, seconds, work, *job):
    name = f"{ray.get_runtime_context().get_node_id()}-{uuid.uuid4().hex}"
    (folder / f"began-{name}").touch()
    time.sleep(seconds)
    result = work(*job)
    (folder / f"ended-{name}").touch()
    return result


def notes(folder, what, node=""):
    return {path.name.removeprefix(f"{what}-") for path in folder.glob(f"{what}-{node}*")}


def kill_at_work(cluster, node, folder):
    """Kill a node as soon as it is in the midst of a job; returns the thread that does it."""

    def watch():
        until = time.monotonic() + 200
        while not notes(folder, "began", node.node_id) - notes(folder, "ended", node.node_id):
            assert time.monotonic() < until
            time.sleep(0.02)
        cluster.remove_node(node, allow_graceful=False)

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    return thread
