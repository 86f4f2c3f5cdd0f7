// The rings around detections. Each kind is painted once and then copied: ten thousand copies cost what fifty rings do.
const LARGEST_COPIED = 40; // px of the screen; larger rings are few on it
const RIM = 4; // px: of the lines that reach beyond the radius

export class Rings {
  constructor() {
    this.painted = new Map(); // what it looks like -> its picture
  }

  // Ready for rings of this radius, in pixels of the screen, of which `ratio` pixels of the canvas make one.
  begin(context, radius, ratio) {
    if (radius !== this.radius || ratio !== this.ratio) this.painted.clear();
    Object.assign(this, { context, radius, ratio });
  }

  draw(x, y, look) {
    const { context, radius, ratio } = this;
    if (radius > LARGEST_COPIED) {
      context.setTransform(ratio, 0, 0, ratio, ratio * x, ratio * y);
      drawRing(context, radius, look);
      return;
    }
    const picture = this.picture(look);
    context.setTransform(1, 0, 0, 1, 0, 0);
    // Whole pixels are copied several times faster than shifted ones.
    context.drawImage(picture, Math.round(ratio * x - picture.width / 2), Math.round(ratio * y - picture.height / 2));
  }

  picture(look) {
    const key = `${look.colour} ${look.isChosen} ${look.isDashed} ${look.isCrossed}`;
    if (!this.painted.has(key)) {
      const side = Math.ceil(2 * (this.radius + RIM) * this.ratio);
      const picture = new OffscreenCanvas(side, side);
      const context = picture.getContext("2d");
      context.setTransform(this.ratio, 0, 0, this.ratio, side / 2, side / 2);
      drawRing(context, this.radius, look);
      this.painted.set(key, picture);
    }
    return this.painted.get(key);
  }
}

function drawRing(context, radius, { colour, isChosen, isDashed, isCrossed }) {
  context.beginPath();
  context.setLineDash(isDashed ? [4, 3] : []);
  context.arc(0, 0, radius, 0, 2 * Math.PI);
  context.lineWidth = isChosen ? 6 : 4; // A white rim: the ring shows on dark nuclei as well.
  context.strokeStyle = "#ffffffb0";
  context.stroke();
  context.lineWidth = isChosen ? 3.5 : 2;
  context.strokeStyle = colour;
  context.stroke();
  if (isCrossed) {
    const reach = radius * Math.SQRT1_2;
    context.beginPath();
    context.moveTo(-reach, reach);
    context.lineTo(reach, -reach);
    context.stroke();
  }
  context.setLineDash([]);
}
