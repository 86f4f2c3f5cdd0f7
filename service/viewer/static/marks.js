// Detections and hotspot, drawn on a canvas over the slide: a hundred thousand marks cost one redraw.
const RADIUS_UM = 12;
const SMALLEST = 4; // px of the screen

export class Marks {
  constructor(canvas, viewer, size) {
    Object.assign(this, { canvas, viewer, size, detections: [], hotspots: [], current: -1, showMarks: true, showHotspot: true });
    for (const event of ["update-viewport", "resize", "open"]) viewer.addHandler(event, () => this.draw());
  }

  // Centre of a pixel, in pixels of the screen.
  place(x, y) {
    const item = this.viewer.world.getItemAt(0);
    return item.imageToViewerElementCoordinates(new OpenSeadragon.Point(x + 0.5, y + 0.5));
  }

  scale() {
    return this.place(1000, 0).x / 1000 - this.place(0, 0).x / 1000; // px of the screen per level-0 pixel
  }

  draw() {
    if (!this.viewer.world.getItemCount()) return;
    const { canvas } = this;
    const ratio = window.devicePixelRatio || 1;
    canvas.width = canvas.clientWidth * ratio;
    canvas.height = canvas.clientHeight * ratio;
    const context = canvas.getContext("2d");
    context.scale(ratio, ratio);
    const style = getComputedStyle(document.documentElement);
    const radius = Math.max(SMALLEST, (RADIUS_UM / this.size.mpp) * this.scale());
    if (this.showHotspot) this.drawHotspots(context, style.getPropertyValue("--accent"));
    if (!this.showMarks) return;
    this.detections.forEach((detection, index) => {
      const { x, y } = this.place(detection.x, detection.y);
      if (x < -radius || y < -radius || x > canvas.clientWidth + radius || y > canvas.clientHeight + radius) return;
      context.beginPath();
      context.setLineDash(detection.border ? [4, 3] : []);
      context.arc(x, y, radius, 0, 2 * Math.PI);
      context.lineWidth = index === this.current ? 4 : 2;
      context.strokeStyle = index === this.current ? "#00b34a" : "#0a5cff";
      context.stroke();
    });
  }

  drawHotspots(context, colour) {
    context.strokeStyle = colour;
    context.lineWidth = 2;
    context.setLineDash([10, 5]);
    for (const spot of this.hotspots) {
      const from = this.place(spot.x - 0.5, spot.y - 0.5);
      const to = this.place(spot.x + spot.width - 0.5, spot.y + spot.height - 0.5);
      context.strokeRect(from.x, from.y, to.x - from.x, to.y - from.y);
    }
    context.setLineDash([]);
  }
}

// A round length in micrometres that is about 120 px long.
export function scaleBar(pixelsPerUm) {
  const target = 120 / pixelsPerUm;
  const power = 10 ** Math.floor(Math.log10(target));
  const length = [5, 2, 1].map((step) => step * power).find((step) => step <= target) ?? power;
  return { pixels: length * pixelsPerUm, text: length >= 1000 ? `${length / 1000} mm` : `${length} µm` };
}
