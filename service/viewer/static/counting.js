// The panel of the window that is placed by hand: where it lies, and what is counted in it.
import { element } from "./elements.js";
import { WINDOWS, countIn, windowAt } from "./placing.js";

export class WindowPanel {
  // `figures` gives those that stand after the review.
  constructor({ job, candidates, stage, marks, figures, onChange }) {
    Object.assign(this, { stage, marks, figures, onChange, mpp: job.image.mpp });
    this.model = candidates.filter(({ score, border }) => score >= job.threshold && !border);
    element("window-kind").onchange = () => this.place(element("window-kind").value, this.centre ?? this.stage.centre());
    element("window-here").onclick = () => this.placeHere();
    // It is taken by its inside, with the shift key: without it the slide moves.
    this.stage.viewer.addHandler("canvas-drag", (event) => {
      if (!this.window || !event.originalEvent.shiftKey) return;
      event.preventDefaultAction = true;
      const [to, from] = [event.position, event.position.minus(event.delta)].map((point) => this.stage.pixelAt(point));
      this.place(this.window.kind, { x: this.centre.x + to.x - from.x, y: this.centre.y + to.y - from.y });
    });
  }

  placeHere() { this.place(element("window-kind").value || "2mm2", this.stage.centre()); }

  place(kind, centre) {
    this.centre = kind in WINDOWS ? centre : undefined;
    this.window = this.centre && windowAt(kind, centre, this.marks.size);
    element("window-kind").value = this.window ? kind : "";
    this.marks.window = this.window;
    this.show();
    this.marks.draw();
    this.onChange();
  }

  show() {
    element("window-count").hidden = !this.window;
    if (!this.window) return;
    const { text, reviewed } = countIn(this.window, { figures: this.figures(), detections: this.model, marks: this.marks, mpp: this.mpp });
    element("window-count").textContent = text;
    element("window-count").dataset.reviewed = reviewed;
  }

  // As it stands in the address of the page.
  get address() {
    return this.window && `${this.window.kind}:${Math.round(this.centre.x)}:${Math.round(this.centre.y)}`;
  }

  fromAddress(text) {
    const [kind, x, y] = (text ?? "").split(":");
    if (kind in WINDOWS && Number.isFinite(Number(x)) && Number.isFinite(Number(y))) this.place(kind, { x: Number(x), y: Number(y) });
  }
}
