// The panel of the review: its buttons and its count, and what it changes on the slide and in the list.
import { element } from "./elements.js";
import { Review } from "./review.js";
import { may } from "./rights.js";

const FILES = { "report.reviewed.html": "Report", "detections.reviewed.csv": "Table", "detections.reviewed.geojson": "QuPath", "labels.zip": "Labels" };
const VERDICTS = { accept: "accepted", reject: "rejected", unsure: "unsure" };

export class ReviewPanel {
  // `page` has the job, its candidates, what shows them, and how one of them is chosen.
  constructor(jobPath, page) {
    Object.assign(this, page, { jobPath });
    // Whether the model counts each candidate, by id.
    this.counted = new Map(this.candidates.map(({ id, score, border }) => [id, score >= this.job.threshold && !border]));
    this.review = new Review(jobPath, { mpp: this.job.image.mpp, onChange: () => this.show() });
    for (const [id, verdict] of Object.entries(VERDICTS)) element(id).onclick = () => this.judge(verdict);
    element("review-files").replaceChildren(...Object.entries(FILES).map(([name, textContent]) => Object.assign(document.createElement("button"), {
      type: "button", textContent, title: `download ${name}`, onclick: () => this.download(name),
    })));
    element("undo").onclick = () => this.undo();
    element("add").onclick = () => this.toggleAdding();
    element("reviewer").value = this.review.reviewer;
    element("reviewer").onchange = () => { this.review.reviewer = element("reviewer").value; this.review.load(); };
    window.addEventListener("beforeunload", (event) => { if (this.review.waiting.length) event.preventDefault(); });
  }

  async open() {
    await this.review.load();
    document.body.dataset.review = "shown";
  }

  // Detections with what was said of each, and the figures that people have added.
  withVerdicts(detections) {
    const { mpp } = this.job.image;
    const added = this.review.added(this.counted).map((mark) => ({ ...mark, x_um: mark.x * mpp, y_um: mark.y * mpp }));
    const all = detections.concat(added);
    for (const one of all) one.verdict = this.review.newest(one.id)?.verdict;
    return all;
  }

  show() {
    this.showCount();
    const { detections } = this.marks;
    const listed = detections.filter(({ score }) => score == null).length;
    if (listed !== this.review.added(this.counted).length) { this.applyInPlace(); return; }
    detections.forEach((one, index) => {
      const verdict = this.review.newest(one.id)?.verdict;
      if (verdict !== one.verdict) { one.verdict = verdict; this.say(index, verdict); }
    });
    this.marks.draw();
  }

  // Those that count after the review.
  figures() {
    const stands = ({ id }) => {
      const verdict = this.review.newest(id)?.verdict;
      return verdict === "accepted" || (verdict !== "rejected" && this.counted.get(id));
    };
    return [...this.candidates.filter(stands), ...this.review.added(this.counted)];
  }

  showCount() {
    const { reviewed, open, model } = this.review.count(this.counted);
    const area = this.job.area_mm2.counted ?? this.job.area_mm2.tissue;
    const density = area > 0 ? ` · ${(reviewed / area).toFixed(1)} per mm²` : "";
    element("reviewed").textContent = reviewed;
    element("open").textContent = `${model} by the model at ${this.job.threshold} · ${open} not judged${density}`;
    const { waiting, problem, marks, done } = this.review;
    element("saved").textContent = problem || (waiting.length ? `saving ${waiting.length}` : marks.size ? "saved" : "");
    element("undo").disabled = !done.length;
    this.onCount();
  }

  // Another list, with the same one chosen.
  applyInPlace() {
    const id = this.marks.detections[this.marks.current]?.id;
    this.apply();
    const index = this.marks.detections.findIndex((one) => one.id === id);
    if (index >= 0) this.select(index);
  }

  // A verdict on the chosen detection; then the next one that nobody has judged.
  judge(verdict) {
    const { detections, current } = this.marks;
    if (!detections[current] || !may("review")) return;
    this.review.judge(detections[current], verdict);
    const order = this.order();
    const following = order.slice(order.indexOf(current) + 1).find((index) => !this.review.newest(detections[index].id));
    if (following !== undefined) this.jump(following);
  }

  undo() {
    const id = this.review.undo();
    const index = this.marks.detections.findIndex((one) => one.id === id);
    if (index >= 0) this.jump(index);
  }

  toggleAdding() { this.setAdding(!document.body.dataset.adding && may("review")); }

  setAdding(isAdding) {
    if (isAdding) document.body.dataset.adding = "yes"; else delete document.body.dataset.adding;
    element("add").setAttribute("aria-pressed", String(isAdding));
  }

  // What was said last is in the file.
  async download(name) {
    await this.review.saved();
    await this.fetchFile(name, `${this.jobPath}/files/${name}`).catch((error) => { element("saved").textContent = error.message; });
  }

  // True if a click on the slide adds a figure.
  takesClick(point) {
    if (!document.body.dataset.adding) return false;
    this.setAdding(false);
    const { x, y } = this.stage.pixelAt(point);
    if (x >= 0 && y >= 0 && x < this.stage.size.width && y < this.stage.size.height) this.review.add(x, y);
    return true;
  }
}
