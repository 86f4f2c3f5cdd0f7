"""What an operator relies on: logs, metrics, settings, traces, processes that end."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import httpx
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from prometheus_client.parser import text_string_to_metric_families

from service.jobs.dbos_queue import IDLE_POLL_S, LONG_SCAN, POLL_S, QUIET_AFTER, choose_interval
from service.settings import Settings
from service.worker.process import own_device
from tests.service.fields import make_field, png
from tests.service.server_process import Server, start_process, until


def entries(server: Server) -> list[dict]:
    """The log, less what is said to people."""
    return [json.loads(line) for line in server.log.splitlines() if line.startswith("{")]


def test_logs_are_json_and_lead_from_a_request_to_its_job(server: Server) -> None:
    headers = {"X-Request-ID": "trace-me.1"}
    answer = server.client.post("/detect", content=png(make_field(200)), headers=headers)
    assert answer.headers["x-request-id"] == "trace-me.1"
    job_id = answer.json()["id"]
    said = until(
        lambda: [entry for entry in entries(server) if entry.get("job") == job_id][2:] and entries(server), server
    )
    request = next(entry for entry in said if entry.get("request") == "trace-me.1")
    assert (request["event"], request["method"], request["path"]) == ("request", "POST", "/detect")
    assert (request["status"], request["job"], request["process_kind"]) == (200, job_id, "api")
    by_worker = [entry for entry in said if entry.get("job") == job_id and entry["process_kind"] == "worker"]
    assert [entry["event"] for entry in by_worker] == ["job started", "job ended"]
    assert by_worker[1]["state"] == "SUCCEEDED"
    assert all({"timestamp", "level", "logger", "process"} <= set(entry) for entry in by_worker)


@pytest.mark.parametrize("sent", ["", "a" * 65, "a b", 'a"}', "\xe9"])
def test_a_request_id_that_could_spoil_a_log_is_replaced(client: httpx.Client, sent: str) -> None:
    got = client.get("/healthz", headers={"X-Request-ID": sent.encode("latin-1")}).headers["x-request-id"]
    assert got != sent
    assert got.isalnum()


def measured(client: httpx.Client) -> dict[tuple[str, str], float]:
    """Metrics: (name, value of its only label) -> value."""
    families = text_string_to_metric_families(client.get("/metrics").raise_for_status().text)
    samples = (sample for family in families for sample in family.samples)
    return {(sample.name, "".join(sample.labels.values())): sample.value for sample in samples}


def test_metrics_count_area_stages_and_reasons(server: Server) -> None:
    before = measured(server.client)
    done = server.client.post("/detect", content=png(make_field(201))).json()
    timing = server.client.get(done["links"]["run.json"]).json()["timing"]
    cut = png(make_field(202))[:-2000]
    failed = server.client.post("/detect", content=cut)
    assert failed.status_code == 422

    def growth() -> dict[tuple[str, str], float]:
        return {name: value - before.get(name, 0) for name, value in measured(server.client).items()}

    # A worker counts a job once its end is stored, which a client may see first.
    until(lambda: growth().get(("mitoscan_failures_total", failed.json()["type"])), server, timeout=30)
    grown = growth()
    assert grown["mitoscan_scanned_mm2_total", ""] == pytest.approx(done["area_mm2"]["scanned"])
    for stage in ("read", "net", "post", "total"):
        assert grown["mitoscan_stage_seconds_total", stage] == pytest.approx(timing[stage])
    assert grown["mitoscan_jobs_ended_total", "succeeded"] == 1
    assert grown["mitoscan_failures_total", failed.json()["type"]] == 1
    now = measured(server.client)
    assert now["mitoscan_disk_free_bytes", ""] > 0
    assert now["mitoscan_queue_wait_seconds", ""] == 0
    assert now["mitoscan_running_mm2_per_second", ""] == 0


def test_not_ready_without_a_worker_or_the_model(tmp_path: Path, models_folder: Path) -> None:
    with Server(tmp_path, models_folder, MITOSCAN_WORKERS="0").start(wait_for_worker=False) as server:
        answer = server.client.get("/readyz")
        assert answer.status_code == 503
        assert answer.json()["checks"] == {"store": True, "disk": True, "model": True, "worker": False}
        assert server.client.get("/healthz").status_code == 200


@given(asked_s=st.none() | st.floats(0, 1e6), free=st.integers(-3, 10), youngest_s=st.none() | st.floats(0, 1e6))
def test_workers_look_often_while_a_job_could_be_taken(asked_s, free, youngest_s) -> None:
    interval = choose_interval(asked_s=asked_s, free_workers=free, youngest_s=youngest_s)
    is_awaited = asked_s is not None and asked_s <= QUIET_AFTER
    could_be_taken = free > 0 or (youngest_s is not None and youngest_s <= LONG_SCAN)
    assert interval == (POLL_S if is_awaited and could_be_taken else IDLE_POLL_S)


def run(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "service.cli", *arguments]
    return subprocess.run(command, env=os.environ | environment, capture_output=True, text=True, check=False)


@pytest.mark.parametrize(
    ("device", "gpus", "devices"),
    [
        ("auto", 2, ["cuda:0", "cuda:1", "cuda:0"]),
        ("cuda", 4, ["cuda:0", "cuda:1", "cuda:2"]),
        ("auto", 0, ["auto"] * 3),
        ("cpu", 2, ["cpu"] * 3),
        ("cuda:1", 2, ["cuda:1"] * 3),
    ],
)
def test_each_worker_has_a_gpu_of_its_own(monkeypatch, device: str, gpus: int, devices: list[str]) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: gpus)
    assert [own_device(device, number) for number in range(3)] == devices


def test_settings_come_from_toml_and_the_environment_comes_first(tmp_path: Path, monkeypatch) -> None:
    (tmp_path / "mitoscan.toml").write_text('port = 9001\nkeep_days = 3\n[api_keys]\nann = "read:' + "ab" * 32 + '"\n')
    monkeypatch.setenv("MITOSCAN_CONFIG", str(tmp_path / "mitoscan.toml"))
    monkeypatch.setenv("MITOSCAN_KEEP_DAYS", "4")
    settings = Settings()
    assert (settings.port, settings.keep_days, settings.api_keys) == (9001, 4, {"ann": f"read:{'ab' * 32}"})


@pytest.mark.parametrize(
    ("content", "words"), [("prot = 9001", "prot"), ("port = 70000", "port"), ("port =", "TOML"), (None, "not a file")]
)
def test_settings_that_make_no_sense_are_named(tmp_path: Path, content: str | None, words: str) -> None:
    config = tmp_path / "mitoscan.toml"
    if content is not None:
        config.write_text(content)
    done = run("serve", "--data", str(tmp_path / "data"), MITOSCAN_CONFIG=str(config))
    assert done.returncode == 2
    assert words.lower() in done.stderr.lower()
    assert len(done.stderr.strip().splitlines()) == 1


def test_the_api_process_loads_no_torch() -> None:
    check = "import sys; import service.cli, service.supervisor; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", check], check=False).returncode == 0


def test_tile_processes_end_with_the_api_however_that_ends(tmp_path: Path, models_folder: Path) -> None:
    with Server(tmp_path, models_folder).start() as server:
        job_id = server.submit(png(make_field(203)))
        server.client.get(f"/jobs/{job_id}/slide.json").raise_for_status()
        children = server.child_pids
        makers = [pid for pid in children if "spawn_main" in Path(f"/proc/{pid}/cmdline").read_text()]
        assert makers
        server.process.send_signal(signal.SIGKILL)
        server.process.wait()
        server.client.close()
        deadline = time.monotonic() + 20
        while any(Path(f"/proc/{pid}/exe").exists() for pid in children):
            assert time.monotonic() < deadline
            time.sleep(0.1)


@pytest.mark.parametrize("parent", ["gone", "none"])
def test_a_worker_ends_without_the_server_that_started_it_however_early_that_died(tmp_path: Path, parent: str) -> None:
    command = [sys.executable, "-m", "service.cli", "worker", "--data", str(tmp_path)]
    # A process number that is no parent of the worker: its server died while it was still being loaded.
    worker = start_process([*command, "--parent", "1"] if parent == "gone" else command, stderr=subprocess.PIPE)
    assert worker.stderr is not None
    said = iter(worker.stderr.readline, b"")
    assert any(b"worker started" in line for line in said)
    if parent == "gone":
        assert worker.wait(60) == 0
    else:
        time.sleep(1.5)
        assert worker.poll() is None
        worker.terminate()
        worker.wait(60)
    worker.stderr.close()


class Collector(BaseHTTPRequestHandler):
    """Takes what OpenTelemetry sends."""

    spans: list[tuple[str, str]]

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        for sent in ExportTraceServiceRequest.FromString(body).resource_spans:
            service = next(
                entry.value.string_value for entry in sent.resource.attributes if entry.key == "service.name"
            )
            self.spans.extend((service, span.name) for scope in sent.scope_spans for span in scope.spans)
        self.send_response(200)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Say nothing."""


def test_requests_and_scans_are_traced_if_asked_for(tmp_path: Path, models_folder: Path) -> None:
    Collector.spans = []
    collector = ThreadingHTTPServer(("127.0.0.1", 0), Collector)
    threading.Thread(target=collector.serve_forever, daemon=True).start()
    endpoint = f"http://127.0.0.1:{collector.server_port}"
    with Server(tmp_path, models_folder, MITOSCAN_OTEL="true", OTEL_EXPORTER_OTLP_ENDPOINT=endpoint).start() as server:
        assert server.client.post("/detect", content=png(make_field(204))).status_code == 200
    collector.shutdown()
    collector.server_close()
    assert ("mitoscan-worker", "scan") in Collector.spans
    assert ("mitoscan-api", "POST /detect") in Collector.spans
