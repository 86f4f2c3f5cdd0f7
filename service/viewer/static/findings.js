// The list of detections, each with its picture, and the histogram of their scores.
import { Crops } from "./crops.js";

const MAX_LISTED = 500;
const CROP_UM = 50;
const BARS = 48;

export class List {
  constructor(element, jobPath, { mpp, choose }) {
    Object.assign(this, { element, choose });
    const side = Math.min(512, Math.max(16, Math.round(CROP_UM / (mpp || 0.25))));
    this.crops = new Crops(jobPath, side, { root: null, rootMargin: "100px" });
  }

  // How many of them are listed.
  show(detections, mpp) {
    this.crops.forget();
    const listed = detections.slice(0, MAX_LISTED);
    this.element.replaceChildren(...listed.map((detection, index) => this.item(detection, index, mpp)));
    return listed.length;
  }

  item({ x, y, score, border, x_um, y_um, verdict }, index) {
    const entry = document.createElement("li");
    entry.dataset.verdict = verdict ?? "";
    const button = Object.assign(document.createElement("button"), { type: "button", onclick: () => this.choose(index) });
    const image = this.crops.image({ x, y }, 48);
    const text = document.createElement("span");
    const value = Object.assign(document.createElement("b"), { textContent: score == null ? "" : score.toFixed(3) });
    const place = Object.assign(document.createElement("small"), { textContent: `${(x_um / 1000).toFixed(2)}, ${(y_um / 1000).toFixed(2)} mm` });
    text.append(value, place);
    text.append(Object.assign(document.createElement("small"), { className: "verdict", textContent: verdict ?? "" }));
    if (border) text.append(Object.assign(document.createElement("small"), { textContent: "at the edge, not counted" }));
    button.append(image, text);
    entry.append(button);
    return entry;
  }

  // Show what was said of one of them.
  say(index, verdict) {
    const entry = this.element.children[index];
    if (!entry) return;
    entry.dataset.verdict = verdict ?? "";
    entry.querySelector(".verdict").textContent = verdict ?? "";
  }

  // Mark the one that was chosen; -1 for none.
  select(index) {
    this.element.querySelector("[aria-current]")?.removeAttribute("aria-current");
    const entry = this.element.children[index];
    entry?.setAttribute("aria-current", "true");
    entry?.scrollIntoView({ block: "nearest" });
  }
}

// Candidates by score, those at or above the threshold in full colour.
export function drawHistogram(canvas, candidates, { floor, threshold }) {
  const ratio = window.devicePixelRatio || 1;
  const { clientWidth: width, clientHeight: height } = canvas;
  Object.assign(canvas, { width: width * ratio, height: height * ratio });
  const counts = new Array(BARS).fill(0);
  for (const { score } of candidates) counts[Math.min(BARS - 1, Math.floor(((score - floor) / (1 - floor)) * BARS))] += 1;
  const context = canvas.getContext("2d");
  context.scale(ratio, ratio);
  const style = getComputedStyle(document.documentElement);
  const highest = Math.max(...counts, 1);
  counts.forEach((count, bar) => {
    const isAbove = floor + ((bar + 1) / BARS) * (1 - floor) > threshold;
    context.fillStyle = style.getPropertyValue(isAbove ? "--accent" : "--line");
    // Square roots: a few sure ones must show beside thousands of doubtful ones.
    const bar_height = count ? Math.max(2, Math.sqrt(count / highest) * height) : 0;
    context.fillRect((bar * width) / BARS, height - bar_height, width / BARS - 1, bar_height);
  });
}
