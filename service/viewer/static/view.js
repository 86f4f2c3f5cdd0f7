// The page of one job: what there is to see of it now, and what the reader chooses to see.
import { onAddress, readAddress, writeAddress } from "./address.js";
import { call, follow, json } from "./api.js";
import { loadCandidates } from "./candidates.js";
import { ComparePanel } from "./comparing.js";
import { WindowPanel } from "./counting.js";
import { element, make } from "./elements.js";
import { List, drawHistogram } from "./findings.js";
import { download, showFiles } from "./files.js";
import { Gallery } from "./gallery.js";
import { listenToKeys } from "./keys.js";
import { showKin } from "./kin.js";
import { COLOURS, Marks } from "./marks.js";
import { Measure } from "./measure.js";
import { isWithin } from "./placing.js";
import { RegionTool, boxAround } from "./region.js";
import { ReviewPanel } from "./reviewing.js";
import { isGuest, loadRights, may } from "./rights.js";
import { listenToSharing } from "./sharing.js";
import { Stage } from "./stage.js";
import { FINAL, showState } from "./state.js";
import { showPlace, showScale } from "./whereabouts.js";

const LIVE_INTERVAL = 2000; // ms
const TURN = 15; // degrees
const jobPath = location.pathname.replace(/\/view$/, "");
let job, stage, marks, measure, region, list, gallery, panel, counting, comparison, candidates;

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
  measure = new Measure(stage, { button: element("measure"), output: element("measured"), onChange: () => marks.draw() });
  region = new RegionTool(stage, { jobPath, job, onChange: () => marks.draw(), onStart: () => { measure.stop(); panel?.setAdding(false); } });
  Object.assign(marks, { measure, region });
  if (job.region && !readAddress().x) stage.fit(boxAround(job.region));
  stage.viewer.addHandler("update-viewport", () => showScale(stage));
  stage.viewer.addHandler("canvas-click", (event) => {
    if (!event.quick) return;
    if (region.takesClick(event.position) || measure.takesClick(event.position) || panel?.takesClick(event.position)) return;
    const index = marks.nearest(event.position);
    if (index >= 0) select(index);
  });
  element("slide").addEventListener("mousemove", (event) => showPlace(event, stage, marks));
  element("slide").addEventListener("mouseleave", () => { element("place").textContent = ""; });
  document.body.dataset.slide = "open";
  showScale(stage);
}

function applyThreshold() {
  const threshold = Number(element("threshold").value);
  element("threshold-value").textContent = threshold.toFixed(3);
  element("reset").hidden = Math.abs(threshold - job.threshold) < 1e-9;
  const reached = candidates.reaching(threshold);
  marks.detections = candidates.all.slice(0, reached);
  if (panel) marks.detections = panel.withVerdicts(marks.detections);
  if (comparison) marks.detections = comparison.filtered(marks.detections);
  marks.current = -1;
  const count = candidates.counted[reached];
  element("count").textContent = count;
  const area = job.area_mm2.counted ?? job.area_mm2.tissue; // Results of older versions have no counted area.
  element("density").textContent = area > 0 ? `${(count / area).toFixed(1)} per mm² in ${area.toFixed(area < 0.1 ? 4 : 2)} mm² of tissue${job.region ? " in the region" : ""}` : `no tissue was found${job.region ? " in the region" : ""}`;
  const spot = job.hotspots[0];
  element("hotspot").hidden = !spot;
  if (spot) {
    const inside = candidates.all.slice(0, reached).filter((one) => !one.border && isWithin(one, spot)).length;
    const part = spot.tissue_mm2 < 0.95 * spot.area_mm2 ? `, ${spot.tissue_mm2.toFixed(2)} mm² of it tissue` : "";
    // By tissue, as the slide's count is: by the window the two would contradict each other.
    const density = spot.tissue_mm2 > 0 ? `: ${(inside / spot.tissue_mm2).toFixed(1)} per mm² of tissue` : "";
    element("hotspot").textContent = `Hotspot: ${inside} in ${spot.area_mm2.toFixed(2)} mm²${part}${density}`;
    element("hotspot").title = `go there (h); the window was chosen at threshold ${job.threshold}`;
  }
  list.show(marks.detections);
  drawHistogram(element("histogram"), candidates, threshold);
  gallery.show(marks.detections);
  marks.draw();
  comparison?.follow(threshold);
  keepAddress();
}

function select(index) {
  marks.current = index;
  list.select(index);
  gallery.select(index);
  marks.draw();
  keepAddress();
}

function jump(index) {
  stage.goTo(marks.detections[index]);
  select(index);
}

// In the order that is on the screen: the gallery has one of its own.
const order = () => (gallery.isOpen ? gallery.indices : marks.detections.map((_, index) => index));

function step(by) {
  const all = order();
  if (!all.length) return;
  const at = all.indexOf(marks.current);
  jump(all[at < 0 ? (by > 0 ? 0 : all.length - 1) : (at + by + all.length) % all.length]);
}

function toggleGallery(isOpen = element("gallery").hidden) {
  element("gallery").hidden = !isOpen;
  if (isOpen) gallery.show(marks.detections, marks.current); else element("slide").focus();
}

const keepAddress = () => { if (document.body.dataset.review) writeAddress(readPlace); };

function readPlace() {
  const { x, y } = stage.centre();
  return {
    x: Math.round(x), y: Math.round(y), mpp: stage.mpp.toPrecision(3), turn: stage.turned || "", threshold: element("threshold").value,
    mark: marks.detections[marks.current]?.id, window: counting.address, ...comparison.address,
  };
}

function goToAddress({ x, y, mpp, turn, threshold, mark, window, ...compared }) {
  if (threshold) { element("threshold").value = threshold; applyThreshold(); }
  const index = marks.detections.findIndex(({ id }) => id === mark);
  if (index >= 0) select(index);
  if (Number.isFinite(Number(turn))) stage.turnTo(Number(turn));
  if (x && y && mpp > 0) stage.show({ x: Number(x), y: Number(y) }, Number(mpp));
  counting.fromAddress(window);
  comparison.fromAddress(compared);
}

async function showResult() {
  job = await json(jobPath);
  candidates = await loadCandidates(jobPath);
  stage.size.mpp = job.image.mpp; // A field that does not say is taken at the model's.
  marks.hotspots = job.hotspots;
  const regions = await json(`${jobPath}/regions`).catch(() => ({ features: [] }));
  marks.setRegions(regions.features);
  list = new List(element("list"), jobPath, { mpp: job.image.mpp, choose: jump });
  gallery = new Gallery(jobPath, { choose: jump, isOpen: () => !element("gallery").hidden });
  element("result").hidden = false;
  Object.assign(element("threshold"), { min: candidates.floor, value: job.threshold });
  element("reset").textContent = `back to ${job.threshold}`;
  element("warnings").replaceChildren(...job.warnings.map((text) => make("li", { textContent: text })));
  const leftOut = [];
  if (marks.unreadAreas) leftOut.push(`${job.area_mm2.unreadable.toFixed(3)} mm² could not be read`);
  if (marks.inkAreas) leftOut.push(`${job.area_mm2.ink.toFixed(3)} mm² are pen marks, ink or dirt`);
  element("unread").hidden = !leftOut.length;
  element("unread").textContent = `${leftOut.join("; ")}: not scanned, and not in the tissue's area.`;
  element("model").textContent = `Model: ${job.model.name} ${job.model.version}`;
  showFiles(job);
  applyThreshold();
  showScale(stage);
  await stage.showMap(`${jobPath}/files/map.png`);
  marks.draw();
  document.body.dataset.result = "shown";
  await showPanels(readAddress());
}

async function showPanels(address) {
  const say = (index, verdict) => { list.say(index, verdict); gallery.say(index, verdict); };
  const shown = { job, candidates: candidates.all, stage, marks };
  panel = new ReviewPanel(jobPath, { ...shown, jump, select, order, say, apply: applyThreshold, fetchFile: download, onCount: () => counting?.show() });
  counting = new WindowPanel({ ...shown, figures: () => panel.figures(), onChange: keepAddress });
  comparison = new ComparePanel(jobPath, await kin, { ...shown, jump, select, refresh: () => panel.applyInPlace() });
  await panel.open();
  goToAddress(address);
  onAddress(goToAddress);
  stage.viewer.addHandler("animation-finish", keepAddress);
}

function peek(isPeeking) {
  if (!marks || marks.isPeeking === isPeeking) return;
  marks.isPeeking = isPeeking;
  stage.peek(isPeeking);
  marks.draw();
}

function turn(degrees) {
  stage?.turnTo(stage.turned + degrees);
  keepAddress();
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
  for (const button of document.querySelectorAll("[data-mpp]")) button.onclick = () => stage?.magnify(Number(button.dataset.mpp));
  element("gallery-open").onclick = () => toggleGallery(true);
  element("gallery-close").onclick = () => toggleGallery(false);
  element("brightness").oninput = () => { element("slide").style.filter = `brightness(${element("brightness").value})`; };
  element("turn-left").onclick = () => turn(-TURN);
  element("turn-right").onclick = () => turn(TURN);
  element("measure").onclick = () => { region?.stop(); measure?.advance(); };
  element("zoom-in").onclick = () => stage?.zoom(1.5);
  element("zoom-out").onclick = () => stage?.zoom(1 / 1.5);
  listenToSharing(jobPath);
  listenToKeys({
    a: () => panel?.judge("accepted"), r: () => panel?.judge("rejected"), e: () => panel?.judge("unsure"),
    z: () => panel?.undo(), i: () => panel?.toggleAdding(), Escape: () => panel?.setAdding(false),
    n: () => step(1), p: () => step(-1), h: spot, t: flipTheme, g: () => toggleGallery(), w: () => counting?.placeHere(),
    1: () => stage.magnify(1), 2: () => stage.magnify(0.5), 4: () => stage.magnify(0.25),
    m: () => element("show-map").click(), d: () => element("show-marks").click(), o: () => element("show-tissue").click(),
    u: () => element("show-unread").click(), l: () => { region.stop(); measure.advance(); }, b: () => { if (may("submit")) region.advance(); }, j: () => comparison?.step(1), k: () => comparison?.step(-1), c: () => comparison?.toggleFilter(), ",": () => turn(-TURN), ".": () => turn(TURN),
    "[": () => nudge(-0.02), "]": () => nudge(0.02), 0: () => stage.home(),
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
  }, () => { element("state").textContent = "The connection is lost, trying again"; });
  clearInterval(live);
}

for (const [name, colour] of Object.entries(COLOURS)) document.documentElement.style.setProperty(`--${name}`, colour);
listen();
try {
  await loadRights();
  job = await json(jobPath);
} catch (error) {
  element("state").textContent = error.message;
  throw error;
}
if (isGuest()) element("scans").removeAttribute("href"); // There is no list for them.
element("name").textContent = job.name;
element("model").textContent = `Model: ${job.model_name}`;
showState(job);
const kin = showKin(job, jobPath);
await showSlide();
if (!FINAL.includes(job.status)) await followScan();
if (job.status === "SUCCEEDED" && marks) await showResult();
