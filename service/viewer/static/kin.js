// Other jobs of the same slide: the one that a region belongs to, and the regions that were scanned of this one.
import { addressOf, json } from "./api.js";
import { element, make } from "./elements.js";

export async function showKin(job, jobPath) {
  const { jobs } = await json(`${jobPath}/siblings`).catch(() => ({ jobs: [] }));
  showParent(job, jobs);
  const regions = jobs.filter(({ rescan_of }) => rescan_of === job.id);
  element("regions").hidden = !regions.length;
  element("regions-title").textContent = `Scanned regions: ${regions.length}`;
  element("regions-list").replaceChildren(...regions.map((one) => make("li", {}, linkTo(one, titleOf(one)))));
  return jobs;
}

function showParent(job, jobs) {
  element("parent").hidden = !job.rescan_of;
  if (!job.rescan_of) return;
  const parent = jobs.find(({ id }) => id === job.rescan_of);
  const whole = parent ? linkTo(parent, "the scan before") : "another scan";
  element("parent").replaceChildren("A region of the slide (long dashes), from ", whole, ".");
}

export const titleOf = ({ model_name, created_at, status }) => {
  const when = new Date(created_at).toLocaleString([], { dateStyle: "short", timeStyle: "short" });
  return status === "SUCCEEDED" ? `${model_name}, ${when}` : `${model_name}, ${when}, ${status.toLowerCase()}`;
};

const linkTo = ({ id }, textContent) => make("a", { href: addressOf(`jobs/${id}/view`), textContent });
