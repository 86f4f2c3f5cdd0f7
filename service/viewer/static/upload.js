// The first page: slides in, one after the other, and the scans there are.
import { json, megabytes, picture } from "./api.js";
import { sendSlide } from "./sending.js";

const LIST_INTERVAL = 3000; // ms
const element = (id) => document.getElementById(id);
const make = (tag, properties) => Object.assign(document.createElement(tag), properties);
const thumbnails = new Map(); // job -> address
let models = [];

const single = (file) => ({ name: file.name, body: file, headers: { "Content-Type": "application/octet-stream", "X-File-Name": encodeURIComponent(file.name) } });

// The files of one slide, each [its path in the folder, itself], as one form.
function folder(files) {
  const body = new FormData();
  for (const [path, file] of files) body.append("file", file, path);
  return { name: files[0][0].split("/")[0], body, headers: {} };
}

// The files in what was dropped.
async function walk(entry, path = entry.name) {
  if (entry.isFile) return [[path, await new Promise((resolve, reject) => entry.file(resolve, reject))]];
  const reader = entry.createReader();
  const found = [];
  for (;;) { // It gives a hundred at a time.
    const some = await new Promise((resolve, reject) => reader.readEntries(resolve, reject));
    if (!some.length) return found;
    for (const child of some) found.push(...await walk(child, `${path}/${child.name}`));
  }
}

async function sendDropped(items) {
  const entries = [...items].map((item) => item.webkitGetAsEntry()).filter(Boolean); // At once: the list is gone after that.
  const slides = [];
  for (const entry of entries) {
    const files = await walk(entry);
    if (files.length) slides.push(entry.isFile ? single(files[0][1]) : folder(files));
  }
  await sendAll(slides);
}

// The answer, once the slide has been sent.
async function send(slide, place) {
  const query = new URLSearchParams({ model: element("model").value });
  for (const name of ["threshold", "mpp"]) if (element(name).value) query.set(name, element(name).value);
  const stopping = new AbortController();
  element("stop").onclick = () => stopping.abort();
  const started = performance.now();
  const name = place + slide.name;
  const watch = {
    signal: stopping.signal,
    onSent: (loaded, total) => showSent(name, loaded, total, (performance.now() - started) / 1000),
    onLost: () => { element("message").textContent = `${name}: the connection is lost, trying again`; },
  };
  try {
    return await sendSlide(slide, query, watch);
  } catch (error) {
    throw new Error(`${slide.name}: ${error.message}`);
  }
}

function showSent(name, loaded, total, seconds) {
  element("sent").value = loaded / total;
  const pace = loaded / seconds;
  const left = seconds > 1 && loaded < total ? `, ${Math.ceil((total - loaded) / pace)} s to go` : "";
  element("message").textContent = loaded < total ? `${name}: ${megabytes(loaded)} of ${megabytes(total)} MB${left}` : `${name}: uploaded, being checked`;
}

async function sendAll(slides) {
  if (!slides.length) return;
  element("problem").textContent = "";
  element("sending").hidden = false;
  let answer;
  try {
    for (const [index, slide] of slides.entries()) {
      element("sent").value = 0;
      answer = await send(slide, slides.length > 1 ? `${index + 1} of ${slides.length}, ` : "");
      if (slides.length > 1) await listJobs();
    }
  } catch (error) {
    element("problem").textContent = error.message;
    answer = undefined;
  }
  element("sending").hidden = true; // Before the page is left, which would ask otherwise.
  element("file").value = element("folder").value = "";
  if (answer && slides.length === 1) location.href = answer.links.view;
}

async function listJobs() {
  const { jobs } = await json("jobs?limit=20");
  element("none").hidden = jobs.length > 0;
  element("jobs").hidden = jobs.length === 0;
  element("jobs").tBodies[0].replaceChildren(...jobs.map(row));
}

function row(job) {
  const entry = document.createElement("tr");
  const image = make("img", { alt: "", width: 40, height: 40 });
  showThumbnail(image, job);
  const link = make("a", { href: job.links.view, textContent: job.name });
  const state = make("span", { className: "state", textContent: job.status.toLowerCase(), title: job.problem?.detail ?? "" });
  state.dataset.state = job.status;
  const cells = [[image], [link], [job.model_name], [state], [new Date(job.created_at).toLocaleString()]];
  const { tiles_done, tiles_total, bytes_done, bytes_total } = job.progress;
  if (job.status === "QUEUED" && bytes_done != null) state.textContent = "fetching";
  if (job.status === "RUNNING" && tiles_total) cells[3].push(make("progress", { max: tiles_total, value: tiles_done }));
  if (job.status === "QUEUED" && bytes_total) cells[3].push(make("progress", { max: bytes_total, value: bytes_done }));
  if (job.problem) cells[3].push(make("small", { textContent: job.problem.title }));
  for (const content of cells) entry.insertCell().append(...content);
  return entry;
}

// A slide that cannot be read has none, and one that is being fetched none yet.
async function showThumbnail(image, job) {
  if (job.progress.bytes_done != null) { image.remove(); return; }
  if (!thumbnails.has(job.id)) thumbnails.set(job.id, job.status === "FAILED" ? null : picture(`jobs/${job.id}/thumbnail.jpeg`).catch(() => null));
  const address = await thumbnails.get(job.id);
  if (address) image.src = address;
  else image.remove();
}

function describeModel() {
  const card = models.find(({ name }) => name === element("model").value);
  if (!card) return;
  element("threshold").placeholder = `the model's: ${card.threshold}`;
  element("about").textContent = [card.intended_use, card.licence].filter(Boolean).join(" · ");
}

function listen() {
  const drop = element("drop");
  drop.ondragover = (event) => { event.preventDefault(); drop.classList.add("over"); };
  drop.ondragleave = () => drop.classList.remove("over");
  drop.ondrop = (event) => { event.preventDefault(); drop.classList.remove("over"); sendDropped(event.dataTransfer.items); };
  drop.onkeydown = (event) => { if (event.key === "Enter" || event.key === " ") { event.preventDefault(); element("file").click(); } };
  element("file").onchange = (event) => sendAll([...event.target.files].map(single));
  element("folder").onchange = (event) => sendAll([folder([...event.target.files].map((file) => [file.webkitRelativePath, file]))]);
  element("choose-folder").onclick = () => element("folder").click();
  element("model").onchange = describeModel;
  element("theme").onclick = window.flipTheme;
}

window.addEventListener("beforeunload", (event) => { if (!element("sending").hidden) event.preventDefault(); });
listen();
const offered = await json("models");
models = offered.models;
for (const card of models) element("model").append(new Option(`${card.name} ${card.version}`, card.name, false, card.name === offered.default));
describeModel();
await listJobs();
setInterval(() => listJobs().catch((error) => { element("problem").textContent = error.message; }), LIST_INTERVAL);
