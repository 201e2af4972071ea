"""The verbs can be named without what they need: a page over runs, or an upload, loads no torch."""

import subprocess
import sys


def test_naming_the_verbs_loads_no_torch():
    code = "import sys, einthoven.workflow; print([m for m in ('torch', 'streamlit') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_onnx_runtime_does_not_report_to_its_maker():
    """Its Linux wheel reads the variable at import, and leaves a session file in the temporary folder without it."""
    code = "import os, einthoven.runtimes.onnx; print(os.environ['ORT_DISABLE_TELEMETRY'])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "1"
