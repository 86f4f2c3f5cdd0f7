import { headers, json, theme } from "./api.js";

const element = (id) => document.getElementById(id);
const say = (text) => { element("message").textContent = text; };

function send(file) {
  const query = new URLSearchParams({ model: element("model").value });
  for (const name of ["threshold", "mpp"]) if (element(name).value) query.set(name, element(name).value);
  const request = new XMLHttpRequest(); // fetch cannot tell how much has been sent.
  request.open("POST", `/detect?${query}`);
  for (const [name, value] of Object.entries({ ...headers(), Prefer: "respond-async" })) request.setRequestHeader(name, value);
  request.setRequestHeader("Content-Type", "application/octet-stream");
  request.setRequestHeader("X-File-Name", encodeURIComponent(file.name));
  element("sent").hidden = false;
  request.upload.onprogress = (event) => {
    element("sent").value = event.loaded / event.total;
    say(`${(event.loaded / 1e6).toFixed(1)} of ${(event.total / 1e6).toFixed(1)} MB sent`);
  };
  request.onerror = () => say("The connection broke.");
  request.onload = () => {
    const answer = JSON.parse(request.responseText);
    if (request.status < 300) location.href = answer.links.view;
    else say(answer.detail || answer.title);
  };
  request.send(file);
}

async function listJobs() {
  const rows = (await json("/jobs?limit=20")).jobs.map((job) => {
    const row = document.createElement("tr");
    const link = document.createElement("a");
    link.href = job.links.view;
    link.textContent = job.name;
    const percent = job.progress.tiles_total ? ` ${Math.round((100 * job.progress.tiles_done) / job.progress.tiles_total)} %` : "";
    const cells = [link, job.model_name, job.status.toLowerCase() + (job.status === "RUNNING" ? percent : ""), new Date(job.created_at).toLocaleString()];
    for (const content of cells) row.insertCell().append(content);
    return row;
  });
  element("jobs").tBodies[0].replaceChildren(...rows);
}

const drop = element("drop");
drop.ondragover = (event) => { event.preventDefault(); drop.classList.add("over"); };
drop.ondragleave = () => drop.classList.remove("over");
drop.ondrop = (event) => { event.preventDefault(); drop.classList.remove("over"); if (event.dataTransfer.files[0]) send(event.dataTransfer.files[0]); };
drop.onkeydown = (event) => { if (event.key === "Enter") element("file").click(); };
element("file").onchange = (event) => { if (event.target.files[0]) send(event.target.files[0]); };

theme();
const offered = await json("/models");
for (const card of offered.models) element("model").append(new Option(`${card.name} ${card.version}`, card.name, false, card.name === offered.default));
await listJobs();
setInterval(() => listJobs().catch((error) => say(error.message)), 3000);
