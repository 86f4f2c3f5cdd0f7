import { call, follow, headers, json, theme } from "./api.js";
import { Marks, scaleBar } from "./marks.js";

const MAX_LISTED = 500;
const LIVE_INTERVAL = 2000; // ms
const jobPath = location.pathname.replace(/\/view$/, "");
const element = (id) => document.getElementById(id);
let job, viewer, marks, candidates = [], overlay;

function showState(now) {
  const { tiles_done: done, tiles_total: total, mm2_done, mm2_total, eta_s } = now.progress;
  const words = { QUEUED: "Waiting for a worker", RUNNING: "Scanning", SUCCEEDED: "Done", FAILED: "Failed", CANCELLED: "Cancelled" };
  let text = words[now.status];
  if (now.status === "RUNNING" && total) text += `: ${mm2_done.toFixed(2)} of ${mm2_total.toFixed(2)} mm²`;
  if (eta_s !== null && eta_s !== undefined) text += `, about ${Math.ceil(eta_s)} s to go`;
  if (now.problem) text += `: ${now.problem.detail}`;
  element("state").textContent = text;
  const isOpen = now.status === "QUEUED" || now.status === "RUNNING";
  element("progress").hidden = element("cancel").hidden = !isOpen;
  element("progress").value = total ? done / total : 0;
}

async function openSlide() {
  const size = await json(`${jobPath}/slide.json`);
  viewer = OpenSeadragon({
    element: element("slide"),
    tileSources: {
      width: size.width, height: size.height, tileSize: size.tile_side, tileOverlap: 0, maxLevel: size.levels - 1,
      getTileUrl: (level, col, row) => `${jobPath}/slide_files/${level}/${col}_${row}.jpeg`,
    },
    showNavigationControl: false, showNavigator: true, navigatorPosition: "TOP_RIGHT",
    maxZoomPixelRatio: 8, minZoomImageRatio: 0.7, animationTime: 0.4,
    loadTilesWithAjax: Object.keys(headers()).length > 0, ajaxHeaders: headers(), gestureSettingsMouse: { clickToZoom: false },
  });
  await new Promise((resolve, reject) => { viewer.addOnceHandler("open", resolve); viewer.addOnceHandler("open-failed", reject); });
  marks = new Marks(element("marks"), viewer, size);
  viewer.addHandler("update-viewport", showScale);
  viewer.addHandler("canvas-click", selectNearest);
  document.body.dataset.slide = "open";
  showScale();
}

function showScale() {
  if (!marks.size.mpp) return;
  const bar = scaleBar(marks.scale() / marks.size.mpp);
  element("scale-bar").style.width = `${bar.pixels}px`;
  element("scale-text").textContent = bar.text;
}

async function showMap(path) {
  const picture = URL.createObjectURL(await (await call(path)).blob());
  const width = viewer.world.getItemAt(0).getBounds().width;
  const height = viewer.world.getItemAt(0).getBounds().height;
  await new Promise((resolve) => viewer.addTiledImage({
    tileSource: { type: "image", url: picture }, x: 0, y: 0, width, // Covers the slide exactly.
    opacity: Number(element("opacity").value),
    success: ({ item }) => { if (overlay) viewer.world.removeItem(overlay); overlay = item; resolve(height); },
    error: resolve,
  }));
  document.body.dataset.map = "shown";
}

function applyThreshold() {
  const threshold = Number(element("threshold").value);
  element("threshold-value").textContent = threshold.toFixed(3);
  marks.detections = candidates.filter((candidate) => candidate.score >= threshold);
  marks.current = -1;
  const counted = marks.detections.filter((detection) => !detection.border).length;
  element("count").textContent = counted;
  const area = job.area_mm2.counted ?? job.area_mm2.tissue; // Results of older versions have no counted area.
  element("density").textContent = area > 0 ? `${(counted / area).toFixed(1)} per mm² in ${area.toFixed(2)} mm² of tissue` : "no tissue";
  if (job.area_mm2.unreadable > 0) element("density").textContent += `; ${job.area_mm2.unreadable.toFixed(2)} mm² could not be read`;
  const items = marks.detections.slice(0, MAX_LISTED).map((detection, index) => {
    const item = document.createElement("li");
    item.textContent = `${detection.score.toFixed(3)}  (${Math.round(detection.x)}, ${Math.round(detection.y)})${detection.border ? " at the edge" : ""}`;
    item.onclick = () => jump(index);
    return item;
  });
  element("list").replaceChildren(...items);
  marks.draw();
}

function select(index) {
  element("list").children[marks.current]?.removeAttribute("aria-current");
  marks.current = index;
  const item = element("list").children[index];
  item?.setAttribute("aria-current", "true");
  item?.scrollIntoView({ block: "nearest" });
  marks.draw();
}

function jump(index) {
  if (!marks.detections.length) return;
  const wrapped = (index + marks.detections.length) % marks.detections.length;
  const { x, y } = marks.detections[wrapped];
  const item = viewer.world.getItemAt(0);
  viewer.viewport.zoomTo(item.imageToViewportZoom(Math.min(2, 0.5 / marks.size.mpp)));
  viewer.viewport.panTo(item.imageToViewportCoordinates(x + 0.5, y + 0.5));
  select(wrapped);
}

function selectNearest(event) {
  if (!event.quick) return;
  const distances = marks.detections.map(({ x, y }) => { const at = marks.place(x, y); return Math.hypot(at.x - event.position.x, at.y - event.position.y); });
  const nearest = distances.indexOf(Math.min(...distances));
  if (nearest >= 0 && distances[nearest] < 30) select(nearest);
}

function showHotspot() {
  const spot = marks.hotspots[0];
  if (!spot) return;
  const item = viewer.world.getItemAt(0);
  viewer.viewport.fitBounds(item.imageToViewportRectangle(spot.x, spot.y, spot.width, spot.height));
}

async function showResult() {
  job = await json(jobPath);
  candidates = (await json(`${jobPath}/detections?threshold=0`)).detections;
  marks.hotspots = job.hotspots;
  element("threshold").value = job.threshold;
  element("result").hidden = false;
  element("warnings").replaceChildren(...job.warnings.map((text) => Object.assign(document.createElement("li"), { textContent: text })));
  const spot = job.hotspots[0];
  if (spot) element("hotspot").textContent = `Hotspot: ${spot.count} in ${spot.area_mm2.toFixed(2)} mm² (${spot.per_mm2.toFixed(1)} per mm²) at threshold ${job.threshold}`;
  const files = Object.entries(job.links).filter(([, link]) => link.includes("/files/"));
  element("files").replaceChildren(...files.map(([name, link]) => {
    const entry = document.createElement("li");
    const button = Object.assign(document.createElement("button"), { textContent: name });
    button.onclick = () => download(name, link);
    entry.append(button);
    return entry;
  }));
  applyThreshold();
  await showMap(`${jobPath}/files/map.png`);
  document.body.dataset.result = "shown";
}

async function download(name, link) {
  const address = URL.createObjectURL(await (await call(link)).blob());
  Object.assign(document.createElement("a"), { href: address, download: name }).click();
}

const nudge = (step) => { const slider = element("threshold"); slider.value = Number(slider.value) + step; applyThreshold(); };
const flip = (id) => element(id).click();
const KEYS = {
  n: () => jump(marks.current + 1), p: () => jump(marks.current - 1), h: showHotspot, t: () => { theme(true); marks.draw(); },
  m: () => { element("opacity").value = Number(element("opacity").value) > 0 ? 0 : 0.6; element("opacity").oninput(); },
  d: () => flip("show-marks"), "[": () => nudge(-0.02), "]": () => nudge(0.02), 0: () => viewer.viewport.goHome(),
  "+": () => viewer.viewport.zoomBy(1.5), "-": () => viewer.viewport.zoomBy(1 / 1.5),
};

element("opacity").oninput = () => { element("opacity-value").textContent = element("opacity").value; overlay?.setOpacity(Number(element("opacity").value)); };
element("threshold").oninput = applyThreshold;
element("show-marks").onchange = (event) => { marks.showMarks = event.target.checked; marks.draw(); };
element("show-hotspot").onchange = (event) => { marks.showHotspot = event.target.checked; marks.draw(); };
element("cancel").onclick = () => call(jobPath, { method: "DELETE" });
document.addEventListener("keydown", (event) => {
  if (event.target.matches("input[type=text], input[type=number]") || event.ctrlKey || event.metaKey || !marks) return;
  KEYS[event.key]?.();
});

theme();
element("opacity").oninput();
job = await json(jobPath);
element("name").textContent = document.title = job.name;
showState(job);
try {
  if (!window.OpenSeadragon) throw new Error("OpenSeadragon is not installed: run `npm ci` in service/viewer. The files of the result are there all the same.");
  await openSlide();
} catch (error) {
  element("missing").hidden = false;
  element("missing").textContent = error.message || "The slide cannot be shown yet.";
}
if (!["SUCCEEDED", "FAILED", "CANCELLED"].includes(job.status)) {
  const live = setInterval(() => { if (viewer && job.status === "RUNNING") showMap(`${jobPath}/live-map.png`).catch(() => {}); }, LIVE_INTERVAL);
  await follow(`${jobPath}/events`, (now) => { job = now; showState(now); });
  clearInterval(live);
}
if (job.status === "SUCCEEDED" && viewer) await showResult();
