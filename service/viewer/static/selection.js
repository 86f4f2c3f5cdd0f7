// What is done with the selected jobs of a page: retried, cancelled, deleted, or fetched as a zip.
import { call } from "./api.js";
import { element, setText } from "./elements.js";
import { download } from "./files.js";
import { FINAL } from "./state.js";

const AT_ONCE = 4;
const ACTIONS = { // of a button -> the jobs that it is for
  retry: ({ status }) => ["FAILED", "CANCELLED"].includes(status),
  cancel: ({ status }) => !FINAL.includes(status),
  zip: ({ status }) => status === "SUCCEEDED",
  delete: () => true,
};

export function makeSelection({ onDone }) {
  const selected = new Set();
  let jobs = [];
  let rows = new Map();

  const chosen = (action) => jobs.filter((job) => selected.has(job.id) && ACTIONS[action](job));

  function show(shown = jobs, shownRows = rows) {
    [jobs, rows] = [shown, shownRows];
    for (const id of selected) if (!rows.has(id)) selected.delete(id);
    for (const [id, row] of rows) row.querySelector("input").checked = selected.has(id);
    element("all").checked = jobs.length > 0 && selected.size === jobs.length;
    element("all").indeterminate = selected.size > 0 && selected.size < jobs.length;
    setText(element("selected"), selected.size ? `${selected.size} selected` : "");
    for (const action of Object.keys(ACTIONS)) element(action).disabled = !chosen(action).length;
  }

  function toggle(id, isSelected) {
    if (isSelected) selected.add(id);
    else selected.delete(id);
    show();
  }

  function clear() {
    selected.clear();
    setText(element("outcome"), "");
    show();
  }

  // One that fails leaves the others; why is said in the end.
  async function each(some, ask, done) {
    const failures = [];
    const left = [...some];
    const work = async () => { for (let job; (job = left.shift());) await ask(job).catch((error) => failures.push(`${job.name}: ${error.message}`)); };
    await Promise.all(Array.from({ length: AT_ONCE }, work));
    selected.clear();
    await onDone();
    setText(element("outcome"), [`${some.length - failures.length} of ${some.length} ${done}`, ...failures].join(". "));
  }

  async function remove() {
    const some = chosen("delete");
    if (await isAgreed(some)) await each(some, ({ id }) => call(`jobs/${id}?purge=true`, { method: "DELETE" }), "deleted");
  }

  async function fetchZip() {
    const some = chosen("zip");
    setText(element("outcome"), "Making the zip…");
    const [name, path] = some.length === 1
      ? [`${some[0].name}.zip`, `jobs/${some[0].id}/files.zip`]
      : ["mitoscan-results.zip", `jobs.zip?${new URLSearchParams(some.map(({ id }) => ["id", id]))}`];
    await download(name, path).then(() => setText(element("outcome"), ""), (error) => setText(element("outcome"), error.message));
  }

  element("all").onchange = (event) => {
    for (const { id } of jobs) if (event.target.checked) selected.add(id); else selected.delete(id);
    show();
  };
  element("retry").onclick = () => each(chosen("retry"), ({ id }) => call(`jobs/${id}/retry`, { method: "POST" }), "sent again");
  element("cancel").onclick = () => each(chosen("cancel"), ({ id }) => call(`jobs/${id}`, { method: "DELETE" }), "cancelled");
  element("zip").onclick = fetchZip;
  element("delete").onclick = remove;
  return { show, toggle, clear };
}

function isAgreed(some) {
  const dialog = element("deleting");
  const what = some.length === 1 ? some[0].name : `${some.length} scans`;
  setText(element("deleting-what"), `Delete ${what}?`);
  dialog.returnValue = "";
  dialog.showModal();
  return new Promise((resolve) => { dialog.onclose = () => resolve(dialog.returnValue === "delete"); });
}
