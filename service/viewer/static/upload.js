// The first page: slides in, and the list of the scans there are.
import { json } from "./api.js";
import { makeBatch } from "./batch.js";
import { single, slidesIn, slidesOfFolder } from "./dropping.js";
import { element } from "./elements.js";
import { loadRights } from "./rights.js";
import { listJobs, watchJobs } from "./worklist.js";

let models = [];

const batch = makeBatch({
  list: element("sending"),
  status: element("message"),
  onSent: () => listJobs(),
  onEnd: (answers, all) => { if (all === 1 && answers.length === 1) location.href = answers[0].links.view; },
});

function send(slides) {
  if (!slides.length) return;
  const query = new URLSearchParams({ model: element("model").value });
  for (const name of ["threshold", "mpp", "case"]) if (element(name).value.trim()) query.set(name, element(name).value.trim());
  batch.add(slides, query);
  element("file").value = element("folder").value = "";
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
  drop.ondrop = async (event) => { event.preventDefault(); drop.classList.remove("over"); send(await slidesIn(event.dataTransfer.items)); };
  drop.onkeydown = (event) => { if (event.key === "Enter" || event.key === " ") { event.preventDefault(); element("file").click(); } };
  element("file").onchange = (event) => send([...event.target.files].map(single));
  element("folder").onchange = (event) => send(slidesOfFolder([...event.target.files].map((file) => [file.webkitRelativePath, file])));
  element("choose-folder").onclick = () => element("folder").click();
  element("upload").onsubmit = (event) => event.preventDefault();
  element("model").onchange = describeModel;
  element("theme").onclick = window.flipTheme;
}

window.addEventListener("beforeunload", (event) => { if (batch.isBusy()) event.preventDefault(); });
listen();
await loadRights();
const offered = await json("models");
models = offered.models;
for (const card of models) element("model").append(new Option(`${card.name} ${card.version}`, card.name, false, card.name === offered.default));
describeModel();
await watchJobs();
