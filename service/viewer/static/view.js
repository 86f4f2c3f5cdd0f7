// The page of one job: what there is to see of it now, and what the reader chooses to see.
import { call, follow, json, megabytes } from "./api.js";
import { List, drawHistogram } from "./findings.js";
import { listenToKeys } from "./keys.js";
import { COLOURS, Marks, isWithin } from "./marks.js";
import { ReviewPanel } from "./reviewing.js";
import { Stage, scaleBar } from "./stage.js";

const LIVE_INTERVAL = 2000; // ms
const FINAL = ["SUCCEEDED", "FAILED", "CANCELLED"];
const WORDS = { QUEUED: "Waiting for a worker", RUNNING: "Scanning", SUCCEEDED: "Scanned", FAILED: "Failed", CANCELLED: "Cancelled" };
const ABOUT = {
  "detections.geojson": "opens on the slide in QuPath", "detections.csv": "a table", "map.ome.tiff": "the map, a pyramid",
  "map.png": "a picture of the map", "overview.png": "slide, map and detections", "run.json": "how it was scanned",
  "report.html": "a page to keep", "regions.geojson": "hotspots, tissue, unread area, ink", "tissue.geojson": "the tissue",
  "candidates.csv": "down to the lowest score kept",
};
const jobPath = location.pathname.replace(/\/view$/, "");
const element = (id) => document.getElementById(id);
const make = (tag, properties) => Object.assign(document.createElement(tag), properties);
let job, stage, marks, list, panel, candidates = [], floor = 0;

function showState(now) {
  const { tiles_done: done, tiles_total: total, mm2_done, mm2_total, eta_s, bytes_done, bytes_total } = now.progress;
  const isOpen = !FINAL.includes(now.status);
  let text = WORDS[now.status];
  const isFetched = isOpen && bytes_done != null;
  if (isFetched) text = "Fetching the slide";
  if (now.cancel_requested && isOpen) text = "Stopping at the next tile";
  if (now.problem) text += `: ${now.problem.detail}`;
  if (now.status === "SUCCEEDED" && now.cached) text += ", result of an earlier scan";
  element("state").textContent = text;
  element("state").dataset.state = now.status;
  element("progress").hidden = element("cancel").hidden = !isOpen;
  element("progress").value = isFetched ? bytes_done / (bytes_total || Infinity) : total ? done / total : 0;
  const pace = total && isOpen ? [`${mm2_done.toFixed(2)} of ${mm2_total.toFixed(2)} mm²`, `tile ${done} of ${total}`] : [];
  if (isFetched && bytes_done) pace.push(`${megabytes(bytes_done)} ${bytes_total ? `of ${megabytes(bytes_total)} ` : ""}MB`);
  if (isOpen && eta_s != null) pace.push(eta_s < 90 ? `${Math.ceil(eta_s)} s to go` : `${Math.ceil(eta_s / 60)} min to go`);
  element("pace").textContent = pace.join(" · ");
  const percent = total && isOpen ? `${Math.round((100 * done) / total)} % · ` : "";
  document.title = `${percent}${now.name}`;
}

async function showSlide() {
  try {
    if (!window.OpenSeadragon) throw new Error("OpenSeadragon is not installed: run `npm ci` in service/viewer. The files of the result can still be downloaded.");
    element("missing").hidden = true;
    await openSlide();
  } catch (error) {
    element("missing").hidden = false;
    element("missing").textContent = error.message || "The slide cannot be shown.";
  }
}

async function openSlide() {
  stage = new Stage(element("slide"), jobPath, await json(`${jobPath}/slide.json`));
  await stage.opened();
  marks = new Marks(element("marks"), stage, stage.size);
  stage.viewer.addHandler("update-viewport", showScale);
  stage.viewer.addHandler("canvas-click", (event) => {
    if (!event.quick) return;
    if (panel?.takesClick(event.position)) return;
    const index = marks.nearest(event.position);
    if (index >= 0) select(index);
  });
  element("slide").addEventListener("mousemove", showPlace);
  element("slide").addEventListener("mouseleave", () => { element("place").textContent = ""; });
  document.body.dataset.slide = "open";
  showScale();
}

function showScale() {
  element("scale").hidden = !stage.size.mpp;
  if (!stage.size.mpp) return;
  const bar = scaleBar(stage.scale() / stage.size.mpp);
  element("scale-bar").style.width = `${bar.pixels}px`;
  element("scale-text").textContent = bar.text;
}

function showPlace(event) {
  const box = element("slide").getBoundingClientRect();
  const point = { x: event.clientX - box.left, y: event.clientY - box.top };
  const { x, y } = stage.pixelAt(point);
  const { width, height, mpp } = stage.size;
  if (x < 0 || y < 0 || x >= width || y >= height) { element("place").textContent = ""; return; }
  const found = marks.detections[marks.nearest(point, 20)];
  const where = mpp ? `${((x * mpp) / 1000).toFixed(3)}, ${((y * mpp) / 1000).toFixed(3)} mm · ${(mpp / stage.scale()).toPrecision(2)} µm/px` : `${Math.round(x)}, ${Math.round(y)} px`;
  element("place").textContent = found?.score != null ? `score ${found.score.toFixed(3)} · ${where}` : where;
}

function applyThreshold() {
  const threshold = Number(element("threshold").value);
  element("threshold-value").textContent = threshold.toFixed(3);
  element("reset").hidden = Math.abs(threshold - job.threshold) < 1e-9;
  marks.detections = candidates.filter(({ score }) => score >= threshold);
  if (panel) marks.detections = panel.withVerdicts(marks.detections);
  marks.current = -1;
  const own = marks.detections.filter(({ border, score }) => !border && score != null);
  element("count").textContent = own.length;
  const area = job.area_mm2.counted ?? job.area_mm2.tissue; // Results of older versions have no counted area.
  element("density").textContent = area > 0 ? `${(own.length / area).toFixed(1)} per mm² in ${area.toFixed(2)} mm² of tissue` : "no tissue was found";
  const spot = job.hotspots[0];
  element("hotspot").hidden = !spot;
  if (spot) {
    const count = own.filter((detection) => isWithin(detection, spot)).length;
    const part = spot.tissue_mm2 < 0.95 * spot.area_mm2 ? `, ${spot.tissue_mm2.toFixed(2)} mm² of it tissue` : "";
    // By tissue, as the slide's count is: by the window the two would contradict each other.
    const density = spot.tissue_mm2 > 0 ? `: ${(count / spot.tissue_mm2).toFixed(1)} per mm² of tissue` : "";
    element("hotspot").textContent = `Hotspot: ${count} in ${spot.area_mm2.toFixed(2)} mm²${part}${density}`;
    element("hotspot").title = `go there (h); the window was chosen at threshold ${job.threshold}`;
  }
  const listed = list.show(marks.detections);
  element("listed").textContent = listed < marks.detections.length ? `the first ${listed} of ${marks.detections.length}` : "";
  drawHistogram(element("histogram"), candidates, { floor, threshold });
  marks.draw();
}

function select(index) {
  marks.current = index;
  list.select(index);
  marks.draw();
}

function jump(index) {
  const count = marks?.detections.length;
  if (!count) return;
  const wrapped = (index + count) % count;
  stage.goTo(marks.detections[wrapped]);
  select(wrapped);
}

async function showResult() {
  job = await json(jobPath);
  const kept = await json(`${jobPath}/detections?threshold=0`);
  [candidates, floor] = [kept.detections, kept.candidate_floor];
  stage.size.mpp = job.image.mpp; // A field that does not say is taken at the model's.
  marks.hotspots = job.hotspots;
  const regions = await json(`${jobPath}/regions`).catch(() => ({ features: [] }));
  marks.setRegions(regions.features);
  list = new List(element("list"), jobPath, { mpp: job.image.mpp, choose: jump });
  element("result").hidden = false;
  Object.assign(element("threshold"), { min: floor, value: job.threshold });
  element("reset").textContent = `back to ${job.threshold}`;
  element("warnings").replaceChildren(...job.warnings.map((text) => make("li", { textContent: text })));
  const leftOut = [];
  if (marks.unreadAreas) leftOut.push(`${job.area_mm2.unreadable.toFixed(3)} mm² could not be read`);
  if (marks.inkAreas) leftOut.push(`${job.area_mm2.ink.toFixed(3)} mm² are pen marks, ink or dirt`);
  element("unread").hidden = !leftOut.length;
  element("unread").textContent = `${leftOut.join("; ")}: not scanned, and not in the tissue's area.`;
  element("model").textContent = `Model: ${job.model.name} ${job.model.version}`;
  showFiles();
  applyThreshold();
  showScale();
  await stage.showMap(`${jobPath}/files/map.png`);
  marks.draw();
  document.body.dataset.result = "shown";
  panel = new ReviewPanel(jobPath, { job, candidates, stage, marks, list, jump, select, apply: applyThreshold, fetchFile: download });
  await panel.open();
}

function showFiles() {
  const files = Object.entries(job.links).filter(([, link]) => link.includes("/files/"));
  element("files").replaceChildren(...files.map(([name, link]) => {
    const entry = make("li", {});
    entry.append(make("button", { type: "button", textContent: name, onclick: () => download(name, link) }), make("small", { textContent: ABOUT[name] ?? "" }));
    return entry;
  }));
}

async function download(name, link) {
  make("a", { href: URL.createObjectURL(await (await call(link)).blob()), download: name }).click();
}

function peek(isPeeking) {
  if (!marks || marks.isPeeking === isPeeking) return;
  marks.isPeeking = isPeeking;
  stage.peek(isPeeking);
  marks.draw();
}

const nudge = (step) => { element("threshold").value = Number(element("threshold").value) + step; applyThreshold(); };
const flipTheme = () => { window.flipTheme(); if (marks?.detections && !element("result").hidden) applyThreshold(); };
const spot = () => { if (job.hotspots?.[0]) stage.fit(job.hotspots[0]); };

function listen() {
  const setMap = () => stage?.setOpacity(element("show-map").checked ? Number(element("opacity").value) : 0);
  element("opacity").oninput = element("show-map").onchange = setMap;
  element("threshold").oninput = applyThreshold;
  element("reset").onclick = () => { element("threshold").value = job.threshold; applyThreshold(); };
  for (const name of ["marks", "hotspot", "tissue", "unread"]) {
    element(`show-${name}`).onchange = (event) => { marks.shown[name] = event.target.checked; marks.draw(); };
  }
  element("cancel").onclick = () => call(jobPath, { method: "DELETE" }).catch((error) => { element("pace").textContent = error.message; });
  Object.assign(element("theme"), { onclick: flipTheme });
  element("help").onclick = () => element("keys").showModal();
  element("hotspot").onclick = spot;
  element("home").onclick = () => stage?.home();
  element("zoom-in").onclick = () => stage?.zoom(1.5);
  element("zoom-out").onclick = () => stage?.zoom(1 / 1.5);
  listenToKeys({
    a: () => panel?.judge("accepted"), r: () => panel?.judge("rejected"), e: () => panel?.judge("unsure"),
    z: () => panel?.undo(), i: () => panel?.toggleAdding(), Escape: () => panel?.setAdding(false),
    n: () => jump(marks.current + 1), p: () => jump(marks.current < 0 ? -1 : marks.current - 1), h: spot, t: flipTheme,
    m: () => element("show-map").click(), d: () => element("show-marks").click(), o: () => element("show-tissue").click(),
    u: () => element("show-unread").click(), "[": () => nudge(-0.02), "]": () => nudge(0.02), 0: () => stage.home(),
    "+": () => stage.zoom(1.5), "=": () => stage.zoom(1.5), "-": () => stage.zoom(1 / 1.5), "?": () => element("keys").showModal(),
    ArrowLeft: () => stage.move(-0.1, 0), ArrowRight: () => stage.move(0.1, 0),
    ArrowUp: () => stage.move(0, -0.1), ArrowDown: () => stage.move(0, 0.1),
  }, { isReady: () => Boolean(marks), peek });
}

async function followScan() {
  let isAsking = false;
  const live = setInterval(async () => {
    if (!stage || isAsking || job.status !== "RUNNING" || !job.progress.tiles_done) return;
    isAsking = true;
    await stage.showMap(`${jobPath}/live-map.png`).then(() => { document.body.dataset.live = "shown"; }).catch(() => {});
    isAsking = false;
  }, LIVE_INTERVAL);
  await follow(`${jobPath}/events`, (now) => {
    const hasCome = job.progress.bytes_done != null && now.progress.bytes_done == null;
    job = now;
    showState(now);
    if (hasCome) showSlide();
  });
  clearInterval(live);
}

for (const [name, colour] of Object.entries(COLOURS)) document.documentElement.style.setProperty(`--${name}`, colour);
listen();
job = await json(jobPath);
element("name").textContent = job.name;
element("model").textContent = `Model: ${job.model_name}`;
showState(job);
await showSlide();
if (!FINAL.includes(job.status)) await followScan();
if (job.status === "SUCCEEDED" && marks) await showResult();
