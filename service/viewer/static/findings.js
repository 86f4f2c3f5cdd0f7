// The list of detections, each with its picture, and the histogram of their scores.
import { BARS } from "./candidates.js";
import { Crops } from "./crops.js";

const ROWS = 60; // in the page at once, those in sight among them
const CROP_UM = 50;

export class List {
  constructor(element, jobPath, { mpp, choose }) {
    Object.assign(this, { element, choose, detections: [], current: -1 });
    const side = Math.min(512, Math.max(16, Math.round(CROP_UM / (mpp || 0.25))));
    this.crops = new Crops(jobPath, side, { root: null, rootMargin: "100px" });
    this.rows = new Map(); // index -> its row
    this.height = parseFloat(getComputedStyle(element).getPropertyValue("--row")) * parseFloat(getComputedStyle(document.documentElement).fontSize);
    element.addEventListener("scroll", () => this.fill());
  }

  show(detections) {
    Object.assign(this, { detections, current: -1 });
    this.crops.forget();
    this.element.replaceChildren();
    this.rows.clear();
    this.element.style.setProperty("--whole", `${detections.length * this.height}px`);
    this.fill();
  }

  // Rows around those in sight, each at its place; the list is as high as all of them.
  fill() {
    const { element, rows, height, detections } = this;
    const room = Math.max(0, detections.length - ROWS);
    const seen = Math.floor(element.scrollTop / height);
    // Some further on than needed: not every move of the list changes its rows.
    const first = Math.min(room, Math.max(0, 10 * Math.round((seen - ROWS / 3) / 10)));
    const last = Math.min(detections.length, first + ROWS);
    if (rows.size === last - first && (rows.has(first) || !rows.size)) return;
    for (const [index, row] of rows) if (index < first || index >= last) this.remove(index, row);
    for (let index = first, following = element.firstChild; index < last; index += 1) {
      const row = rows.get(index) ?? this.item(detections[index], index);
      if (row === following) following = row.nextSibling; else element.insertBefore(row, following);
      rows.set(index, row);
    }
  }

  remove(index, row) {
    if (row.contains(document.activeElement)) this.element.focus({ preventScroll: true });
    row.remove();
    this.rows.delete(index);
  }

  item({ x, y, score, border, x_um, y_um, verdict }, index) {
    const entry = document.createElement("li");
    entry.style.top = `${index * this.height}px`;
    entry.setAttribute("aria-setsize", this.detections.length);
    entry.setAttribute("aria-posinset", index + 1);
    if (index === this.current) entry.setAttribute("aria-current", "true");
    entry.dataset.verdict = verdict ?? "";
    const button = Object.assign(document.createElement("button"), { type: "button", onclick: () => this.choose(index) });
    const image = this.crops.image({ x, y }, 48);
    const text = document.createElement("span");
    const value = Object.assign(document.createElement("b"), { textContent: score == null ? "" : score.toFixed(3) });
    const place = Object.assign(document.createElement("small"), { textContent: `${(x_um / 1000).toFixed(2)}, ${(y_um / 1000).toFixed(2)} mm` });
    value.append(Object.assign(document.createElement("small"), { className: "verdict", textContent: verdict ?? "" }));
    text.append(value, place);
    if (border) text.append(Object.assign(document.createElement("small"), { textContent: "at the edge, not counted" }));
    button.append(image, text);
    entry.append(button);
    return entry;
  }

  // Show what was said of one of them.
  say(index, verdict) {
    const entry = this.rows.get(index);
    if (!entry) return;
    entry.dataset.verdict = verdict ?? "";
    entry.querySelector(".verdict").textContent = verdict ?? "";
  }

  // Mark the one that was chosen; -1 for none.
  select(index) {
    this.rows.get(this.current)?.removeAttribute("aria-current");
    this.current = index;
    if (index < 0) return;
    const { element, height } = this;
    const [top, bottom] = [index * height, (index + 1) * height - element.clientHeight];
    // The list moves, not the page around it: on a phone the slide would leave the screen.
    if (element.scrollTop > top) element.scrollTop = top; else if (element.scrollTop < bottom) element.scrollTop = bottom;
    this.fill();
    this.rows.get(index)?.setAttribute("aria-current", "true");
  }
}

// Candidates by score, those at or above the threshold in full colour.
export function drawHistogram(canvas, { bars, floor }, threshold) {
  const ratio = window.devicePixelRatio || 1;
  const { clientWidth: width, clientHeight: height } = canvas;
  Object.assign(canvas, { width: width * ratio, height: height * ratio });
  const context = canvas.getContext("2d");
  context.scale(ratio, ratio);
  const style = getComputedStyle(document.documentElement);
  const highest = Math.max(...bars, 1);
  bars.forEach((count, bar) => {
    const isAbove = floor + ((bar + 1) / BARS) * (1 - floor) > threshold;
    context.fillStyle = style.getPropertyValue(isAbove ? "--accent" : "--line");
    // Square roots: a few sure ones must show beside thousands of doubtful ones.
    const bar_height = count ? Math.max(2, Math.sqrt(count / highest) * height) : 0;
    context.fillRect((bar * width) / BARS, height - bar_height, width / BARS - 1, bar_height);
  });
}
