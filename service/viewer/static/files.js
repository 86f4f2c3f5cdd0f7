// The files of a result.
import { call } from "./api.js";
import { make } from "./elements.js";

const ABOUT = {
  "detections.geojson": "opens on the slide in QuPath", "detections.csv": "a table", "map.ome.tiff": "the map, a pyramid",
  "map.png": "a picture of the map", "overview.png": "slide, map and detections", "run.json": "how it was scanned",
  "report.html": "a page to keep", "region.geojson": "the region that was scanned", "regions.geojson": "hotspots, tissue, unread area, ink", "tissue.geojson": "the tissue",
  "candidates.csv": "down to the lowest score kept",
};

export function showFiles(job) {
  const files = Object.entries(job.links).filter(([, link]) => link.includes("/files/"));
  document.getElementById("files").replaceChildren(...files.map(([name, link]) => {
    const entry = make("li", {});
    entry.append(make("button", { type: "button", textContent: name, onclick: () => download(name, link) }), make("small", { textContent: ABOUT[name] ?? "" }));
    return entry;
  }));
}

export async function download(name, link) {
  make("a", { href: URL.createObjectURL(await (await call(link)).blob()), download: name }).click();
}
