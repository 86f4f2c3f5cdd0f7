// The list of scans: searched, filtered, sorted and paged by the service; what is shown stands in the page's address.
import { onAddress, readAddress, writeAddress } from "./address.js";
import { json } from "./api.js";
import { element, setText } from "./elements.js";
import { download } from "./files.js";
import { may } from "./rights.js";
import { makeRow, showJob } from "./row.js";
import { makeSelection } from "./selection.js";

const INTERVAL = 3000; // ms
const PAUSE = 250; // ms after the last letter of a search
const PAGE = 50;
const NEWEST = "-created";
const FALLING_FIRST = ["count", "per_mm2", "reviewed", "created"]; // What the first click on their header shows: the most, the newest.
const FILTERS = { search: "search", status: "only-status", review: "only-review" }; // of the API -> the element that says it
const rows = new Map(); // job -> its row
let sort = NEWEST;
let cursor; // where the page begins
let page = { next: null, previous: null };
let asked = 0;

const selection = makeSelection({ onDone: () => listJobs() });
const headers = () => [...element("jobs").querySelectorAll("th[data-sort]")];
const said = () => Object.fromEntries(Object.entries(FILTERS).map(([name, id]) => [name, element(id).value.trim()]).filter(([, value]) => value));
const query = () => new URLSearchParams({ ...said(), sort });

export async function listJobs() {
  const number = asked += 1;
  try {
    const found = await json(`jobs?limit=${PAGE}&${query()}${cursor ? `&cursor=${cursor}` : ""}`);
    if (number !== asked) return; // Something else was asked for meanwhile.
    setText(element("list-problem"), "");
    if (found.jobs.length || !cursor) show(found);
    else await goTo(undefined); // All that came after this place is gone.
  } catch (error) {
    if (number !== asked) return;
    if (error.status === 422 && cursor) await goTo(undefined); // An address of another list.
    else setText(element("list-problem"), error.message);
  }
}

export async function watchJobs() {
  listen();
  readState(readAddress());
  onAddress((address) => { readState(address); listJobs(); });
  await listJobs();
  setInterval(() => { if (!document.hidden) listJobs(); }, INTERVAL);
}

function show(found) {
  page = found;
  const { jobs, total, offset } = found;
  const none = may("submit") ? "No scans yet. Drop a slide above." : "No scans yet.";
  setText(element("none"), Object.keys(said()).length ? "No scan is like that." : none);
  element("none").hidden = jobs.length > 0;
  element("table").hidden = jobs.length === 0;
  const shown = jobs.map((job) => rows.get(job.id) ?? makeRow(job, selection.toggle));
  jobs.forEach((job, index) => showJob(shown[index], job));
  rows.clear();
  jobs.forEach((job, index) => rows.set(job.id, shown[index]));
  place(element("jobs").tBodies[0], shown);
  selection.show(jobs, rows);
  setText(element("shown"), total ? `${offset + 1} to ${offset + jobs.length} of ${total}` : "");
  element("previous").disabled = !found.previous;
  element("next").disabled = !found.next;
}

// Moved only if they have to: a row that is put in anew loses the focus.
function place(body, shown) {
  if (body.children.length === shown.length && shown.every((row, index) => body.children[index] === row)) return;
  const focused = document.activeElement;
  body.replaceChildren(...shown);
  if (body.contains(focused)) focused.focus();
}

function goTo(place) {
  cursor = place;
  selection.clear();
  writeState();
  return listJobs();
}

const cursorOf = (link) => new URL(link, location.href).searchParams.get("cursor");

function sortBy(header) {
  const key = header.dataset.sort;
  const isFalling = sort === `-${key}` ? false : sort === key ? true : FALLING_FIRST.includes(key);
  sort = (isFalling ? "-" : "") + key;
  markSorted();
  goTo(undefined);
}

function markSorted() {
  for (const header of headers()) {
    const direction = { [header.dataset.sort]: "ascending", [`-${header.dataset.sort}`]: "descending" }[sort];
    header.setAttribute("aria-sort", direction ?? "none");
  }
}

function readState(address) {
  for (const [name, id] of Object.entries(FILTERS)) element(id).value = address[name] ?? "";
  const known = headers().map(({ dataset }) => dataset.sort);
  sort = known.includes(address.sort?.replace(/^-/, "")) ? address.sort : NEWEST;
  cursor = address.cursor;
  selection.clear();
  markSorted();
}

const writeState = () => writeAddress(() => ({ ...said(), sort: sort === NEWEST ? undefined : sort, cursor }));

function listen() {
  let typing;
  element("filters").onsubmit = (event) => event.preventDefault();
  element("search").oninput = () => { clearTimeout(typing); typing = setTimeout(() => goTo(undefined), PAUSE); };
  element("only-status").onchange = element("only-review").onchange = () => goTo(undefined);
  element("previous").onclick = () => goTo(cursorOf(page.previous));
  element("next").onclick = () => goTo(cursorOf(page.next));
  element("csv").onclick = () => download("jobs.csv", `jobs.csv?${query()}`).catch((error) => setText(element("list-problem"), error.message));
  for (const header of headers()) header.querySelector("button").onclick = () => sortBy(header);
}
