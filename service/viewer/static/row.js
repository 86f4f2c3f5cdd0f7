// A row of the list: a job, its slide, how far it is, and what was counted.
import { picture } from "./api.js";
import { make, setText } from "./elements.js";

const REVIEW = { none: "", started: "started", done: "done" };
const thumbnails = new Map(); // job -> address

export function makeRow(job, onSelect) {
  const box = make("input", { type: "checkbox", onchange: () => onSelect(job.id, box.checked) });
  const image = make("img", { alt: "", width: 40, height: 40 });
  const link = make("a", { href: job.links.view });
  const name = make("div", { className: "slide" }, image, make("div", {}, link, make("small", { className: "region" }), make("small", { className: "narrow-only case" })));
  const row = make("tr", {}, make("td", {}, box), make("th", { attributes: { scope: "row" } }, name));
  row.append(make("td", { className: "wide-only case" }), make("td", { className: "job" }, make("span", { className: "state" })));
  for (const kind of ["mitoses", "per-mm2", "reviewed"]) row.append(make("td", { className: `number ${kind}` }));
  row.append(make("td", { className: "wide-only sent" }));
  return row;
}

export function showJob(row, job) {
  const part = (selector) => row.querySelector(selector);
  row.dataset.job = job.id;
  part("input").setAttribute("aria-label", `Select ${job.name}`);
  setText(part("a"), job.name);
  setText(part(".region"), job.rescan_of ? "a region" : "");
  for (const shown of row.querySelectorAll(".case")) setText(shown, job.case);
  showState(part(".job"), job);
  setText(part(".mitoses"), job.count == null ? "" : String(job.count));
  setText(part(".per-mm2"), job.per_mm2 == null ? "" : job.per_mm2.toFixed(1));
  setText(part(".reviewed"), [job.reviewed, REVIEW[job.review]].filter((said) => said != null && said !== "").join(" · "));
  setText(part(".sent"), new Date(job.created_at).toLocaleString([], { dateStyle: "short", timeStyle: "short" }));
  showThumbnail(part("img"), job);
}

function showState(cell, job) {
  const state = cell.querySelector(".state");
  const { tiles_done, tiles_total, bytes_done, bytes_total } = job.progress;
  const isFetched = job.status === "QUEUED" && bytes_done != null;
  const isStopping = job.cancel_requested && ["QUEUED", "RUNNING"].includes(job.status);
  setText(state, isFetched ? "fetching" : isStopping ? "stopping" : job.status.toLowerCase());
  state.dataset.state = job.status;
  state.title = job.problem?.detail ?? "";
  const [done, all] = isFetched ? [bytes_done, bytes_total] : job.status === "RUNNING" ? [tiles_done, tiles_total] : [];
  const bar = cell.querySelector("progress") ?? make("progress", { attributes: { "aria-label": `progress of ${job.name}` } });
  if (all) { cell.append(bar); bar.max = all; bar.value = done; } else bar.remove();
  const why = cell.querySelector("small") ?? make("small");
  if (job.problem) { cell.append(why); setText(why, job.problem.title); } else why.remove();
}

// A slide that cannot be read has none, and one that is being fetched none yet.
async function showThumbnail(image, job) {
  if (!image || job.progress.bytes_done != null) return;
  if (!thumbnails.has(job.id)) thumbnails.set(job.id, job.status === "FAILED" ? null : picture(`jobs/${job.id}/thumbnail.jpeg`).catch(() => null));
  const address = await thumbnails.get(job.id);
  if (address && image.src !== address) image.src = address;
}
