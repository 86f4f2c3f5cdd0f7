// Detections, hotspot, tissue and unread area on a canvas over the slide: it is drawn again with each move of the slide.
import { covered } from "./placing.js";
import { Rings } from "./rings.js";

const RADIUS_UM = 12;
const SAMPLE = 256; // px a side of the canvas that a window is measured on
const SMALLEST = 5; // px of the screen
const CHOSEN = "#00b34a";
const VERDICTS = { accepted: "#0b7a3b", rejected: "#6a6468", unsure: "#b26a00", added: "#7a2bbf" };
export const COLOURS = { ...VERDICTS, mark: "#0a5cff", other: "#a03a00", hotspot: "#b0187a", window: "#0b6b7a", tissue: "#00897b", unread: "#5a5257", ink: "#282882" };

export class Marks {
  constructor(canvas, stage, size) {
    Object.assign(this, { canvas, stage, size, detections: [], others: [], hotspots: [], current: -1 });
    this.shown = { marks: true, hotspot: true, tissue: true, unread: true };
    this.isPeeking = false;
    this.rings = new Rings();
    this.tissue = new Path2D();
    this.unread = new Path2D();
    this.ink = new Path2D();
    this.unreadAreas = 0;
    this.inkAreas = 0;
    for (const event of ["update-viewport", "rotate", "resize", "open"]) stage.viewer.addHandler(event, () => this.draw());
  }

  // GeoJSON: rings in level-0 pixels, by their corners' edges.
  setRegions(features) {
    for (const { geometry, properties } of features) {
      const path = { Tissue: this.tissue, Unreadable: this.unread, Ink: this.ink }[properties.name];
      if (!path) continue;
      const polygons = geometry.type === "Polygon" ? [geometry.coordinates] : geometry.coordinates;
      for (const ring of polygons.flat()) path.addPath(pathFromRing(ring));
      if (path === this.unread) this.unreadAreas += polygons.length;
      if (path === this.ink) this.inkAreas += polygons.length;
    }
  }

  draw() {
    if (!this.stage.isOpen) return;
    const { canvas } = this;
    const ratio = window.devicePixelRatio || 1;
    canvas.width = canvas.clientWidth * ratio;
    canvas.height = canvas.clientHeight * ratio;
    if (this.isPeeking) return;
    const context = canvas.getContext("2d");
    const { a, b, c, d } = this.stage.transform();
    const scale = Math.hypot(a, b);
    const corner = this.stage.place(-0.5, -0.5);
    context.setTransform(ratio * a, ratio * b, ratio * c, ratio * d, ratio * corner.x, ratio * corner.y);
    if (this.shown.tissue) this.outline(context, this.tissue, scale);
    if (this.shown.unread && this.unreadAreas) this.hatch(context, this.unread, COLOURS.unread, scale);
    if (this.shown.unread && this.inkAreas) this.hatch(context, this.ink, COLOURS.ink, scale);
    if (this.shown.hotspot) this.drawWindows(context, scale, this.hotspots, COLOURS.hotspot, [10, 5]);
    if (this.window) this.drawWindows(context, scale, [this.window], COLOURS.window, []);
    if (this.shown.marks) this.drawDetections(context, scale, ratio);
    context.setTransform(ratio, 0, 0, ratio, 0, 0);
    if (this.shown.marks && this.others.length) this.drawOthers(context, scale);
    this.region?.draw(context, canvas);
    this.measure?.draw(context, canvas);
  }

  outline(context, path, scale) {
    context.lineWidth = 1.5 / scale;
    context.strokeStyle = COLOURS.tissue;
    context.stroke(path);
  }

  hatch(context, path, colour, scale) {
    const stripes = new OffscreenCanvas(10, 10);
    const pen = stripes.getContext("2d");
    pen.fillStyle = "#ffffffaa";
    pen.fillRect(0, 0, 10, 10);
    pen.strokeStyle = colour;
    pen.lineWidth = 2;
    for (const start of [-5, 5, 15]) { pen.moveTo(start - 6, 11); pen.lineTo(start + 6, -1); }
    pen.stroke();
    const pattern = context.createPattern(stripes, "repeat");
    pattern.setTransform(new DOMMatrix().scale(1 / scale)); // As wide on the screen at any zoom.
    context.fillStyle = pattern;
    context.fill(path);
    context.lineWidth = 1.5 / scale;
    context.strokeStyle = colour;
    context.stroke(path);
  }

  drawWindows(context, scale, windows, colour, dashes) {
    context.strokeStyle = colour;
    context.lineWidth = 2.5 / scale;
    context.setLineDash(dashes.map((length) => length / scale));
    for (const { x, y, width, height, shape } of windows) {
      context.beginPath();
      if (shape === "circle") context.ellipse(x + width / 2, y + height / 2, width / 2, height / 2, 0, 0, 2 * Math.PI);
      else context.rect(x, y, width, height);
      context.stroke();
    }
    context.setLineDash([]);
  }

  drawDetections(context, scale, ratio) {
    const radius = Math.max(SMALLEST, (RADIUS_UM / this.size.mpp) * scale);
    const { a, b, c, d, e, f } = this.stage.transform();
    const { clientWidth, clientHeight } = this.canvas;
    this.rings.begin(context, radius, ratio);
    this.detections.forEach(({ x, y, border, verdict }, index) => {
      const [left, top] = [a * x + c * y + e, b * x + d * y + f];
      if (left < -radius || top < -radius || left > clientWidth + radius || top > clientHeight + radius) return;
      const isChosen = index === this.current;
      // Colour is not the only sign of what was rejected.
      this.rings.draw(left, top, { colour: isChosen ? CHOSEN : COLOURS[verdict] ?? COLOURS.mark, isChosen, isDashed: border, isCrossed: verdict === "rejected" });
    });
  }

  // Of another job: squares, so that colour is not the only sign, within the rings.
  drawOthers(context, scale) {
    const reach = 0.7 * Math.max(SMALLEST, (RADIUS_UM / this.size.mpp) * scale);
    const { a, b, c, d, e, f } = this.stage.transform();
    const [all, chosen] = [new Path2D(), new Path2D()];
    for (const { x, y, id } of this.others) {
      (id === this.otherCurrent ? chosen : all).rect(a * x + c * y + e - reach, b * x + d * y + f - reach, 2 * reach, 2 * reach);
    }
    for (const [path, colour, width] of [[all, COLOURS.other, 2], [chosen, CHOSEN, 3.5]]) {
      context.lineWidth = width + 2.5;
      context.strokeStyle = "#ffffffb0";
      context.stroke(path);
      context.lineWidth = width;
      context.strokeStyle = colour;
      context.stroke(path);
    }
  }

  // Shares of a window's box that are the slide in the window, and its tissue.
  sharesOf({ x, y, width, height, shape }) {
    return [false, true].map((isTissue) => {
      const context = new OffscreenCanvas(SAMPLE, SAMPLE).getContext("2d");
      context.scale(SAMPLE / width, SAMPLE / height);
      context.translate(-x, -y);
      context.beginPath();
      if (shape === "circle") context.ellipse(x + width / 2, y + height / 2, width / 2, height / 2, 0, 0, 2 * Math.PI);
      else context.rect(x, y, width, height);
      context.clip();
      context.beginPath();
      context.rect(0, 0, this.size.width, this.size.height);
      context.clip();
      if (isTissue) context.fill(this.tissue, "evenodd"); else context.fillRect(x, y, width, height);
      return covered(context, SAMPLE);
    });
  }

  // Index of the detection under a point of the screen, or -1.
  nearest(point, reach = 30) {
    const { a, b, c, d, e, f } = this.stage.transform();
    let best = -1;
    this.detections.forEach(({ x, y }, index) => {
      const distance = Math.hypot(a * x + c * y + e - point.x, b * x + d * y + f - point.y);
      if (distance < reach) [best, reach] = [index, distance];
    });
    return best;
  }
}

function pathFromRing(ring) {
  const path = new Path2D();
  ring.forEach(([x, y], index) => (index ? path.lineTo(x, y) : path.moveTo(x, y)));
  path.closePath();
  return path;
}
