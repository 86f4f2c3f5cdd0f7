// A window of the area that pathologists count in, placed by hand, and what is counted in it.
const HPF_MM2 = 0.237; // as scanner/geometry/windows.py
export const WINDOWS = {
  "2mm2": { mm2: 2, aspect: 1, shape: "box" },
  "10hpf": { mm2: 10 * HPF_MM2, aspect: 4 / 3, shape: "box" },
  circle: { mm2: 2, aspect: 1, shape: "circle" },
};

// The window of a kind around a level-0 place: as large as the slide allows, and on it.
export function windowAt(kind, { x, y }, { width, height, mpp }) {
  const { mm2, aspect, shape } = WINDOWS[kind];
  const area = mm2 * (1000 / mpp) ** 2;
  const size = shape === "circle" ? circleSize(area) : boxSize(area, aspect, { width, height });
  const within = (place, side, length) => (shape === "circle" ? place - side / 2 : Math.min(Math.max(place - side / 2, 0), length - side));
  return { kind, shape, ...size, x: Math.round(within(x, size.width, width)), y: Math.round(within(y, size.height, height)) };
}

function circleSize(area) {
  const side = Math.round(2 * Math.sqrt(area / Math.PI));
  return { width: side, height: side };
}

function boxSize(area, aspect, slide) {
  let height = Math.min(Math.sqrt(area / aspect), slide.height);
  const width = Math.min(area / height, slide.width);
  height = Math.min(area / width, slide.height); // A narrow slide gets a longer window.
  return { width: Math.max(1, Math.round(width)), height: Math.max(1, Math.round(height)) };
}

// What is counted in a window: `figures` stand after the review, `detections` are the model's at the scan's threshold.
export function countIn(window, { figures, detections, marks, mpp }) {
  const whole = window.width * window.height * (mpp / 1000) ** 2;
  const [area, tissue] = marks.sharesOf(window).map((share) => share * whole);
  const reviewed = figures.filter((one) => isWithin(one, window)).length;
  const model = detections.filter((one) => isWithin(one, window)).length;
  const density = tissue > 0 ? `: ${(reviewed / tissue).toFixed(1)} per mm² of tissue` : "";
  const hpf = `${(area / HPF_MM2).toFixed(1)} HPF of ${HPF_MM2} mm²`;
  return { reviewed, text: `${reviewed} reviewed (${model} by the model) in ${area.toFixed(2)} mm² (${hpf}), ${tissue.toFixed(2)} mm² of it tissue${density}` };
}

// Whether a detection lies in a window, as the scanner counts it.
export function isWithin({ x, y }, spot) {
  if (spot.shape !== "circle") return x >= spot.x && x < spot.x + spot.width && y >= spot.y && y < spot.y + spot.height;
  return Math.hypot((2 * (x + 0.5 - spot.x)) / spot.width - 1, (2 * (y + 0.5 - spot.y)) / spot.height - 1) <= 1;
}

// Share of a canvas that is painted.
export function covered(context, side) {
  const { data } = context.getImageData(0, 0, side, side);
  let count = 0;
  for (let alpha = 3; alpha < data.length; alpha += 4) count += data[alpha] / 255;
  return count / side ** 2;
}
