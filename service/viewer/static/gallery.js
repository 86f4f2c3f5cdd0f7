// All that is detected as a grid of pictures at full resolution: what is a figure shows best beside what is none.
import { Crops } from "./crops.js";

const PAGE = 120; // pictures that are added at once
const SIDE = 128; // level-0 pixels, and pixels of the screen
const VERDICTS = ["accepted", "added", "rejected", "unsure", undefined]; // What nobody has judged comes last.
const ORDERS = {
  score: () => 0, // As they come: the highest first.
  verdict: (one, other) => VERDICTS.indexOf(one.verdict) - VERDICTS.indexOf(other.verdict),
  place: (one, other) => one.y - other.y || one.x - other.x,
};

export class Gallery {
  constructor(element, order, jobPath, { choose, isOpen }) {
    Object.assign(this, { element, order, choose, asked: isOpen, detections: [], indices: [], shown: 0 });
    const near = { root: element, rootMargin: "400px" };
    this.crops = new Crops(jobPath, SIDE, near);
    this.watch = new IntersectionObserver((entries) => { if (entries.some(({ isIntersecting }) => isIntersecting)) this.more(); }, near);
    order.onchange = () => this.show(this.detections, this.current);
  }

  get isOpen() { return this.asked(); }

  show(detections, current = -1) {
    Object.assign(this, { detections, current, shown: 0 });
    if (!this.isOpen) return;
    const compare = ORDERS[this.order.value];
    this.indices = detections.map((_, index) => index).sort((one, other) => compare(detections[one], detections[other]) || one - other);
    this.watch.disconnect();
    this.crops.forget();
    this.end = document.createElement("i");
    this.element.replaceChildren(this.end);
    this.more();
    this.select(current);
  }

  more() {
    const added = this.indices.slice(this.shown, this.shown + PAGE).map((index) => this.item(index));
    this.shown += added.length;
    this.end.before(...added);
    this.watch.unobserve(this.end);
    if (this.shown < this.indices.length) this.watch.observe(this.end);
  }

  item(index) {
    const { score, verdict } = this.detections[index];
    const said = score == null ? "added" : score.toFixed(3);
    const button = Object.assign(document.createElement("button"), { type: "button", onclick: () => this.choose(index) });
    button.dataset.index = index;
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
    while (index >= 0 && this.shown < this.indices.length && !this.element.querySelector(`[data-index="${index}"]`)) this.more();
    const button = this.element.querySelector(`[data-index="${index}"]`);
    button?.setAttribute("aria-current", "true");
    button?.scrollIntoView({ block: "nearest" });
  }
}
