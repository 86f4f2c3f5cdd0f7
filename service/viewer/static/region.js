// A region of the slide, drawn by hand: a rectangle by dragging, or a polygon corner by corner. Then it is scanned.
import { json } from "./api.js";
import { element, make } from "./elements.js";

const COLOUR = "#1d1a1c";
const ARM = 7; // px of the screen: of the cross in its middle
const NEAR = 12; // px of the screen: a click so near to the first corner closes the outline
const SMALLEST = 5; // px of the screen: a shorter drag is a click
const HINT = "Drag a rectangle, or click corner by corner (b takes the cross); the first corner, or Enter, closes the outline. Esc ends.";
const NOT_ON = "button, input, select, a, summary";

// Corners are level-0 places from the slide's top left corner, as GeoJSON has them: pixel centres lie half a pixel on.
export class RegionTool {
  constructor(stage, { jobPath, job, onChange, onStart }) {
    Object.assign(this, { stage, jobPath, job, onChange, onStart, corners: [], isOn: false, isDone: false });
    this.own = job.region?.coordinates[0].map(([x, y]) => ({ x, y }));
    element("region").onclick = () => this.advance();
    element("region-cancel").onclick = () => this.stop();
    element("region-panel").onsubmit = (event) => { event.preventDefault(); this.scan(); };
    document.addEventListener("keydown", (event) => this.takeKey(event));
    stage.viewer.addHandler("canvas-drag", (event) => this.drag(event));
    stage.viewer.addHandler("canvas-drag-end", (event) => this.endDrag(event));
    stage.viewer.addHandler("canvas-double-click", (event) => { if (this.isOn) { event.preventDefaultAction = true; this.close(); } });
  }

  // Begin; from then on each call takes the middle of the screen.
  advance() {
    if (this.isOn) { this.take(this.stage.centre()); return; }
    this.onStart();
    this.set({ isOn: true, isDone: false, corners: [] });
    element("slide").focus(); // Enter would press the button.
  }

  stop() { if (this.isOn || this.isDone) this.set({ isOn: false, isDone: false, corners: [] }); }

  takeKey(event) {
    if (event.key === "Escape") this.stop();
    if (event.key !== "Enter" || !this.isOn || event.target.matches(NOT_ON)) return;
    event.preventDefault(); // Or it presses the button that has the focus next.
    this.close();
  }

  // True if a click on the slide is a corner.
  takesClick(point) {
    if (!this.isOn) return false;
    const first = this.corners.length > 2 && this.screen(this.corners[0]);
    if (first && Math.hypot(first.x - point.x, first.y - point.y) < NEAR) this.close();
    else this.take(this.stage.pixelAt(point));
    return true;
  }

  take({ x, y }) { this.set({ corners: [...this.corners, { x: x + 0.5, y: y + 0.5 }] }); }

  close() {
    const corners = onSlide(this.corners, this.stage.size);
    if (corners.length > 2) this.set({ isOn: false, isDone: true, corners });
  }

  // Between two corners the slide moves as ever.
  drag(event) {
    if (!this.isOn || this.corners.length) return;
    event.preventDefaultAction = true;
    this.from ??= event.position.minus(event.delta);
    this.to = event.position;
    this.onChange();
  }

  endDrag(event) {
    const { from, to } = this;
    this.from = this.to = undefined;
    if (!from || !this.isOn) return;
    event.preventDefaultAction = true;
    if (Math.min(Math.abs(to.x - from.x), Math.abs(to.y - from.y)) < SMALLEST) { this.onChange(); return; }
    for (const point of rectangle(from, to)) this.take(this.stage.pixelAt(point));
    this.close();
  }

  set(state) {
    Object.assign(this, state);
    element("region").setAttribute("aria-pressed", String(this.isOn));
    if (this.isOn) document.body.dataset.drawing = "yes"; else delete document.body.dataset.drawing;
    element("region-panel").hidden = !this.isOn && !this.isDone;
    element("region-choices").hidden = element("region-scan").hidden = !this.isDone;
    this.say(this.isOn ? HINT : this.isDone ? `Region of ${areaText(this.corners, this.stage.size.mpp)}` : "");
    if (this.isDone) this.offerModels();
    this.onChange();
  }

  say(text) { element("region-said").textContent = text; }

  async offerModels() {
    element("region-scan").focus({ preventScroll: true });
    if (element("region-model").options.length) return;
    const { models } = await json("models").catch(() => ({ models: [{ name: this.job.model_name }] }));
    element("region-model").replaceChildren(...models.map(({ name }) => make("option", { value: name, textContent: name, selected: name === this.job.model_name })));
  }

  async scan() {
    const ring = [...this.corners, this.corners[0]].map(({ x, y }) => [x, y]);
    const body = { region: { type: "Polygon", coordinates: [ring] } };
    if (element("region-model").value) body.model = element("region-model").value;
    if (element("region-stride").value) body.stride = Number(element("region-stride").value);
    element("region-scan").disabled = true;
    try {
      const job = await json(`${this.jobPath}/rescan`, { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body) });
      location.href = job.links.view;
    } catch (error) {
      this.say(error.message);
    }
    element("region-scan").disabled = false;
  }

  screen({ x, y }) { return this.stage.place(x - 0.5, y - 0.5); }

  // In pixels of the screen.
  draw(context, { clientWidth, clientHeight }) {
    if (this.own) stroke(context, this.own.map((corner) => this.screen(corner)), { dashes: [16, 6] });
    const drawn = this.from ? rectangle(this.from, this.to) : this.corners.map((corner) => this.screen(corner));
    if (drawn.length) stroke(context, this.isDone || this.from ? [...drawn, drawn[0]] : drawn, { dashes: [], dots: !this.from });
    if (!this.isOn) return;
    const [x, y] = [clientWidth / 2, clientHeight / 2];
    stroke(context, [{ x: x - ARM, y }, { x: x + ARM, y }], { dashes: [] });
    stroke(context, [{ x, y: y - ARM }, { x, y: y + ARM }], { dashes: [] });
  }
}

// A box around a region, with some of what lies beside it, for the view to fit.
export function boxAround({ coordinates: [ring] }) {
  const [xs, ys] = [0, 1].map((axis) => ring.map((corner) => corner[axis]));
  const [x, y] = [Math.min(...xs), Math.min(...ys)];
  const [width, height] = [Math.max(...xs) - x, Math.max(...ys) - y];
  return { x: x - 0.1 * width, y: y - 0.1 * height, width: 1.2 * width, height: 1.2 * height };
}

const rectangle = (from, to) => [from, { x: to.x, y: from.y }, to, { x: from.x, y: to.y }];

// Whole pixels of the slide, none twice in a row.
function onSlide(corners, { width, height }) {
  const whole = (place, length) => Math.min(Math.max(Math.round(place), 0), length);
  const all = corners.map(({ x, y }) => ({ x: whole(x, width), y: whole(y, height) }));
  return all.filter(({ x, y }, index) => { const before = all.at(index - 1); return x !== before.x || y !== before.y; });
}

function areaText(corners, mpp) {
  const twice = corners.reduce((sum, { x, y }, index) => { const { x: nextX, y: nextY } = corners[(index + 1) % corners.length]; return sum + x * nextY - nextX * y; }, 0);
  const pixels = Math.abs(twice) / 2;
  return mpp ? `${(pixels * (mpp / 1000) ** 2).toPrecision(3)} mm²` : `${pixels} px`;
}

// With a white rim, as rings have.
function stroke(context, places, { dashes, dots = false }) {
  for (const [colour, width] of [["#ffffffd0", 5], [COLOUR, 2]]) {
    context.strokeStyle = context.fillStyle = colour;
    context.lineWidth = width;
    context.setLineDash(dashes);
    context.beginPath();
    places.forEach(({ x, y }, index) => (index ? context.lineTo(x, y) : context.moveTo(x, y)));
    context.stroke();
    if (dots) for (const { x, y } of places) context.fillRect(x - width, y - width, 2 * width, 2 * width);
  }
  context.setLineDash([]);
}
