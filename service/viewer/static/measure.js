// The distance of two places on the slide. Each is clicked, or moved to the middle of the screen and taken there.
import { lengthText } from "./stage.js";

const COLOUR = "#7a4a00";
const ARM = 7; // px of the screen: of the crosses

export class Measure {
  constructor(stage, { button, output, onChange }) {
    Object.assign(this, { stage, button, output, onChange, ends: [], isOn: false });
    document.addEventListener("keydown", ({ key }) => { if (key === "Escape") this.stop(); });
  }

  // Begin; from then on each call takes the middle of the screen.
  advance() {
    if (this.isOn) this.take(this.stage.centre());
    else this.set(true, []);
  }

  stop() { this.set(false, []); }

  // True if a click on the slide is an end of what is measured.
  takesClick(point) {
    if (!this.isOn) return false;
    this.take(this.stage.pixelAt(point));
    return true;
  }

  take(place) {
    const ends = [...this.ends, place];
    this.set(ends.length < 2, ends);
  }

  set(isOn, ends) {
    Object.assign(this, { isOn, ends });
    this.button.setAttribute("aria-pressed", String(isOn));
    if (isOn) document.body.dataset.measuring = "yes"; else delete document.body.dataset.measuring;
    this.output.textContent = this.text;
    this.onChange();
  }

  get text() {
    const [one, other] = this.ends;
    if (this.isOn) return one ? "to: click, or l takes the cross" : "from: click, or l takes the cross";
    if (!other) return "";
    const pixels = Math.hypot(one.x - other.x, one.y - other.y);
    return this.stage.size.mpp ? lengthText(pixels * this.stage.size.mpp) : `${pixels.toFixed(1)} px`;
  }

  // In pixels of the screen.
  draw(context, { clientWidth, clientHeight }) {
    const places = this.ends.map(({ x, y }) => this.stage.place(x, y));
    if (this.isOn) places.push({ x: clientWidth / 2, y: clientHeight / 2 });
    for (const [colour, width] of [["#ffffffd0", 5], [COLOUR, 2]]) { // A white rim, as rings have.
      context.strokeStyle = colour;
      context.lineWidth = width;
      context.beginPath();
      for (const { x, y } of places) {
        context.moveTo(x - ARM, y);
        context.lineTo(x + ARM, y);
        context.moveTo(x, y - ARM);
        context.lineTo(x, y + ARM);
      }
      if (this.ends.length === 2) {
        context.moveTo(places[0].x, places[0].y);
        context.lineTo(places[1].x, places[1].y);
      }
      context.stroke();
    }
  }
}
