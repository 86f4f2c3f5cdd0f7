"""Orthanc: a real DICOM server with DICOMweb, as Debian has it (packages `orthanc` and `orthanc-dicomweb`)."""

from __future__ import annotations

import base64
import json
import socket
import subprocess
import time
from contextlib import suppress
from pathlib import Path

import httpx

from tests.conftest import refuse, require_system
from tests.service.server_process import START_TIMEOUT, start_process

PLUGIN = Path("/usr/share/orthanc/plugins/libOrthancDicomWeb.so")


class Orthanc:
    """Has an address from the beginning, and answers there, to those who know the password, once it is started."""

    USER, PASSWORD = "mitoscan", "secret"
    AUTHORIZATION = f"Basic {base64.b64encode(f'{USER}:{PASSWORD}'.encode()).decode()}"

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._process: subprocess.Popen[bytes] | None = None
        self._reserved = socket.socket()  # Bound, so that nobody else gets the port meanwhile.
        self._reserved.bind(("127.0.0.1", 0))
        self._port = self._reserved.getsockname()[1]
        #: Of its DICOMweb.
        self.address = f"http://127.0.0.1:{self._port}/dicom-web"

    def start(self) -> None:
        """Start it, if it is not running; skips the test where it is not installed."""
        if self._process is not None:
            return
        program = require_system("Orthanc")
        if not PLUGIN.is_file():
            refuse("needs Orthanc's plugin for DICOMweb")
        settings = {
            "StorageDirectory": str(self._folder / "files"),
            "IndexDirectory": str(self._folder / "files"),
            "HttpPort": self._port,
            "DicomServerEnabled": False,
            "RemoteAccessAllowed": False,
            "AuthenticationEnabled": True,
            "RegisteredUsers": {self.USER: self.PASSWORD},
            "Plugins": [str(PLUGIN)],
            "DicomWeb": {"Enable": True, "Root": "/dicom-web/"},
        }
        (self._folder / "orthanc.json").write_text(json.dumps(settings))
        self._reserved.close()
        with (self._folder / "log").open("wb") as log:
            command = [program, str(self._folder / "orthanc.json")]
            self._process = start_process(command, stdout=log, stderr=log)
        deadline = time.monotonic() + START_TIMEOUT
        while not self._answers():
            said = (self._folder / "log").read_text()
            assert self._process.poll() is None, said
            assert time.monotonic() < deadline, said
            time.sleep(0.05)

    def _answers(self) -> bool:
        with suppress(httpx.TransportError):
            auth = (self.USER, self.PASSWORD)
            return httpx.get(f"{self.address}/studies", auth=auth, trust_env=False).status_code == 200
        return False

    def stop(self) -> None:
        """Stop it."""
        self._reserved.close()
        if self._process is not None:
            self._process.terminate()
            self._process.wait(20)
