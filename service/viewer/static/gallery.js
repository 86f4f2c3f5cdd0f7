// All that is detected as pages of pictures at full resolution: what is a figure shows best beside what is none.
import { Crops } from "./crops.js";

const PAGE = 120; // pictures
const SIDE = 128; // level-0 pixels, and pixels of the screen
const VERDICTS = ["accepted", "added", "rejected", "unsure", undefined]; // What nobody has judged comes last.
const ORDERS = {
  score: () => 0, // As they come: the highest first.
  verdict: (one, other) => VERDICTS.indexOf(one.verdict) - VERDICTS.indexOf(other.verdict),
  place: (one, other) => one.y - other.y || one.x - other.x,
};

export class Gallery {
  constructor(jobPath, { choose, isOpen }) {
    const element = (name) => document.getElementById(name);
    Object.assign(this, { element: element("pictures"), order: element("gallery-order"), place: element("gallery-place") });
    Object.assign(this, { choose, asked: isOpen, detections: [], indices: [], first: 0 });
    this.turns = { [-PAGE]: element("gallery-previous"), [PAGE]: element("gallery-next") };
    for (const [by, button] of Object.entries(this.turns)) button.onclick = () => this.turn(this.first + Number(by));
    this.crops = new Crops(jobPath, SIDE, { root: this.element, rootMargin: "400px" });
    this.order.onchange = () => this.show(this.detections, this.current);
  }

  get isOpen() { return this.asked(); }

  // The page that has the chosen one, or the first.
  show(detections, current = -1) {
    Object.assign(this, { detections, current });
    if (!this.isOpen) return;
    const compare = ORDERS[this.order.value];
    this.indices = detections.map((_, index) => index).sort((one, other) => compare(detections[one], detections[other]) || one - other);
    this.turn(this.pageOf(current));
    this.select(current);
  }

  pageOf(index) { return Math.max(0, Math.floor(this.indices.indexOf(index) / PAGE) * PAGE); }

  turn(first) {
    const [{ length }, last] = [this.indices, Math.min(first + PAGE, this.indices.length)];
    this.first = first;
    this.crops.forget();
    this.element.replaceChildren(...this.indices.slice(first, last).map((index) => this.item(index)));
    this.element.scrollTop = 0;
    this.place.textContent = length ? `${first + 1} to ${last} of ${length}` : "none";
    this.turns[-PAGE].disabled = first === 0;
    this.turns[PAGE].disabled = last === length;
  }

  item(index) {
    const { score, verdict } = this.detections[index];
    const said = score == null ? "added" : score.toFixed(3);
    const button = Object.assign(document.createElement("button"), { type: "button", onclick: () => this.choose(index) });
    button.dataset.index = index;
    if (index === this.current) button.setAttribute("aria-current", "true");
    button.dataset.verdict = verdict ?? "";
    const image = this.crops.image(this.detections[index], SIDE);
    button.append(image, Object.assign(document.createElement("span"), { textContent: verdict ? `${said} ${verdict}` : said }));
    return button;
  }

  say(index, verdict) {
    const button = this.element.querySelector(`[data-index="${index}"]`);
    if (!button) return;
    button.dataset.verdict = verdict ?? "";
    button.lastChild.textContent = `${this.detections[index].score?.toFixed(3) ?? "added"} ${verdict ?? ""}`;
  }

  select(index) {
    this.current = index;
    if (!this.isOpen) return;
    this.element.querySelector("[aria-current]")?.removeAttribute("aria-current");
    if (index < 0) return;
    if (this.pageOf(index) !== this.first) this.turn(this.pageOf(index));
    const button = this.element.querySelector(`[data-index="${index}"]`);
    button?.setAttribute("aria-current", "true");
    button?.scrollIntoView({ block: "nearest" });
  }
}
