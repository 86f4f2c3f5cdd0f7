// How far a job is, in words.
import { megabytes } from "./api.js";
import { element } from "./elements.js";

export const FINAL = ["SUCCEEDED", "FAILED", "CANCELLED"];
const WORDS = { QUEUED: "Waiting for a worker", RUNNING: "Scanning", SUCCEEDED: "Scanned", FAILED: "Failed", CANCELLED: "Cancelled" };

export function showState(now) {
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
