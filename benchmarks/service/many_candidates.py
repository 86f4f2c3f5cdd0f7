"""How long the viewer takes for each step on a slide with very many candidates, and the service for its answers.

    python -m benchmarks.service.many_candidates [--candidates 10000] [--side 12000] [--rounds 9] [--reviewed 0]

A generated slide is scanned with a tiny model, and its answer is written again with so many candidates. Then a headless
Chromium opens the page. Prints milliseconds, median and slowest, from the reader's action to the frame that shows what
follows, by the browser's own clock (Performance API); elements of the page and memory of its scripts; seconds of the
service's answers, and the memory of its process before and after. Needs Chromium (`apt-get install chromium`).
"""

from __future__ import annotations

import argparse
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from playwright.sync_api import Page, sync_playwright

from benchmarks.slides import write_slide
from scanner.dense.capabilities import describe_machine
from tests.service.fields import make_tiny_model
from tests.service.results.many import scanned_with
from tests.service.server_process import Server

#: Runs ACTION, and waits for the frame that shows what it did: a message comes after the frame has been painted.
TIMED = """async () => {
  const painted = () => new Promise((done) => requestAnimationFrame(() => {
    const { port1, port2 } = new MessageChannel();
    port1.onmessage = done;
    port2.postMessage(0);
  }));
  await painted();
  const began = performance.now();
  { ACTION }
  document.body.offsetHeight;
  const busy = performance.now() - began;
  await painted();
  return [performance.now() - began, busy];
}"""
PRESS = "document.body.dispatchEvent(new KeyboardEvent('keydown', { key: '%s', bubbles: true }))"
#: What the reader does -> script, given the number of the round.
STEPS: dict[str, Callable[[int], str]] = {
    "threshold, one step": lambda turn: (
        f"threshold.value = {0.06 + 0.09 * (turn % 10)}; threshold.dispatchEvent(new Event('input'))"
    ),
    "lowest threshold": lambda turn: (
        f"threshold.value = {0.05 * (turn % 2)}; threshold.dispatchEvent(new Event('input'))"
    ),
    "next detection (n)": lambda _: PRESS % "n",
    "verdict (a)": lambda turn: PRESS % "are"[turn % 3],
    "undo (z)": lambda _: PRESS % "z",
    "rings off, on": lambda _: "window.dispatchEvent(new Event('blur')); document.querySelector('#show-marks').click()",
    "pointer moves": lambda turn: (
        "const slide = document.querySelector('#slide'); const box = slide.getBoundingClientRect();"
        f"slide.dispatchEvent(new MouseEvent('mousemove', {{ clientX: box.left + 300 + {turn}, clientY: 300 }}))"
    ),
    "list, scrolled": lambda turn: f"list.scrollTop = {turn + 1} * 3000",
    "choice in the list": lambda turn: f"document.querySelectorAll('#list button')[{turn % 3}].click()",
    "gallery, open and close": lambda _: PRESS % "g",
}
IN_GALLERY: dict[str, Callable[[int], str]] = {
    "gallery, another order": lambda turn: (
        "const order = document.querySelector('#gallery-order');"
        f"order.value = '{['place', 'verdict', 'score'][turn % 3]}'; order.dispatchEvent(new Event('change'))"
    ),
    "gallery, more pictures": lambda _: (
        "const more = document.querySelector('#gallery-next');"
        "if (more) more.click(); else document.querySelector('#pictures').scrollTop = 1e9"
    ),
    "verdict in the gallery (a)": lambda _: PRESS % "a",
}
ELEMENTS = "document.querySelectorAll('*').length"


def main() -> None:
    """Make the job, and measure page and service."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--candidates", type=int, default=10_000)
    parser.add_argument("--side", type=int, default=12_000, help="of the slide, level-0 px")
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--reviewed", type=int, default=0, help="candidates that were judged before")
    options = parser.parse_args()
    print(f"{describe_machine()}; {options.candidates:,} candidates on {options.side:,} x {options.side:,} px")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        make_tiny_model(folder / "models")
        write_slide(folder / "slide.tif", options.side, options.side)
        quick = {"MITOSCAN_REQUESTS_PER_MINUTE": "1000000", "MITOSCAN_MIN_FREE_BYTES": "1"}
        with Server(folder, folder / "models", **quick).start() as server:
            body = (folder / "slide.tif").read_bytes()
            job = scanned_with(server, options.candidates, body, stride="32")
            judge(server, job["id"], options.reviewed)
            measure_answers(server, job["id"], rounds=options.rounds)
            measure_page(f"{server.client.base_url}/jobs/{job['id']}/view", rounds=options.rounds)


def judge(server: Server, job: str, count: int) -> None:
    """Give verdicts, as a person does who looks at one after the other."""
    detections = server.client.get(f"/jobs/{job}/detections", params={"threshold": 0}).json()["detections"]
    for turn, one in enumerate(detections[:count]):
        verdict = {"verdict": ("accepted", "rejected")[turn % 2]}
        server.client.put(f"/jobs/{job}/review/marks/{one['id']}", json=verdict).raise_for_status()


def measure_answers(server: Server, job: str, *, rounds: int) -> None:
    """Seconds of the answers that the page asks for, and what the process holds."""
    paths = (f"/jobs/{job}", f"/jobs/{job}/detections?threshold=0", f"/jobs/{job}/review")
    print(f"memory of the API process: {memory_mib(server)} MiB")
    print("| answer | median ms | slowest ms | KB |\n|---|---|---|---|")
    for path in paths:
        taken = []
        for _ in range(rounds):
            began = time.perf_counter()
            answer = server.client.get(path).raise_for_status()
            taken.append(1000 * (time.perf_counter() - began))
        shown = path.replace(job, "{id}")
        print(f"| {shown} | {statistics.median(taken):.0f} | {max(taken):.0f} | {len(answer.content) / 1000:.0f} |")
    print(f"memory of the API process afterwards: {memory_mib(server)} MiB")


def memory_mib(server: Server) -> int:
    """Resident memory of the API process."""
    status = Path(f"/proc/{server.process.pid}/status").read_text()
    return int(status.split("VmRSS:")[1].split()[0]) // 1024


def measure_page(address: str, *, rounds: int) -> None:
    """Milliseconds of each step in a browser."""
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        page = chromium.new_page(viewport={"width": 1280, "height": 800})
        page.set_default_timeout(600_000)
        page.goto(address)
        page.wait_for_selector("body[data-review=shown]")
        shown = page.evaluate("performance.now()")
        print(f"the page is complete after {shown:.0f} ms, with {page.evaluate(ELEMENTS)} elements")
        print("| step | median ms | slowest ms | of it scripts and layout, median ms |\n|---|---|---|---|")
        take(page, STEPS["lowest threshold"](0))
        for name, script in STEPS.items():
            measure_step(page, name, script, rounds=rounds)
        take(page, STEPS["lowest threshold"](0))
        if page.is_hidden("#gallery"):
            take(page, PRESS % "g")
        for name, script in IN_GALLERY.items():
            measure_step(page, name, script, rounds=rounds)
        heap = page.evaluate("performance.memory.usedJSHeapSize") / 2**20
        print(f"afterwards: {page.evaluate(ELEMENTS)} elements, {heap:.0f} MiB of the page's scripts")
        chromium.close()


def take(page: Page, script: str) -> list[float]:
    """Take a step; milliseconds until it is seen, and those of them in which scripts and layout were busy."""
    taken: list[float] = page.evaluate(TIMED.replace("ACTION", script))
    return taken


def measure_step(page: Page, name: str, script: Callable[[int], str], *, rounds: int) -> None:
    """A row of the table."""
    taken, busy = zip(*(take(page, script(turn)) for turn in range(rounds)), strict=True)
    page.wait_for_timeout(500)  # Pictures that come late belong to no step.
    print(f"| {name} | {statistics.median(taken):.0f} | {max(taken):.0f} | {statistics.median(busy):.0f} |", flush=True)


if __name__ == "__main__":
    main()
