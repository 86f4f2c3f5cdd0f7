// How large things are on the screen, and what lies under the pointer.
import { element } from "./elements.js";
import { scaleBar } from "./stage.js";

export function showScale(stage) {
  element("scale").hidden = !stage.size.mpp;
  if (!stage.size.mpp) return;
  const bar = scaleBar(stage.scale() / stage.size.mpp);
  element("scale-bar").style.width = `${bar.pixels}px`;
  element("scale-text").textContent = bar.text;
  element("zoom").textContent = `${(stage.size.mpp / stage.scale()).toPrecision(2)} µm/px`;
  element("interpolated").hidden = stage.scale() * (window.devicePixelRatio || 1) < 1.01;
}

export function showPlace(event, stage, marks) {
  const box = element("slide").getBoundingClientRect();
  const point = { x: event.clientX - box.left, y: event.clientY - box.top };
  const { x, y } = stage.pixelAt(point);
  const { width, height, mpp } = stage.size;
  if (x < 0 || y < 0 || x >= width || y >= height) { element("place").textContent = ""; return; }
  const found = marks.detections[marks.nearest(point, 20)];
  const where = mpp ? `${((x * mpp) / 1000).toFixed(3)}, ${((y * mpp) / 1000).toFixed(3)} mm · ${(mpp / stage.scale()).toPrecision(2)} µm/px` : `${Math.round(x)}, ${Math.round(y)} px`;
  element("place").textContent = found?.score != null ? `score ${found.score.toFixed(3)} · ${where}` : where;
}
