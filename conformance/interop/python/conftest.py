import json
import os
import pathlib
import signal
import subprocess

import pytest

ECHO = os.environ.get("NOSPHERE_ECHO") or pathlib.Path(__file__).parents[3] / "target/release/examples/echo"


@pytest.fixture(scope="session")
def server():
    """The URL of an echo server, which must end cleanly when it is told to."""
    with subprocess.Popen([ECHO, "--addr", "127.0.0.1:0"], stdout=subprocess.PIPE, stdin=subprocess.DEVNULL) as echo:
        try:
            yield json.loads(echo.stdout.readline())["url"]
            echo.send_signal(signal.SIGTERM)
            assert echo.wait(20) == 0, "the server did not end cleanly"
        finally:
            echo.kill()
