// All candidates of a result, by falling score: those at a threshold are the first so many of them.
import { json } from "./api.js";

const PAGE = 2000; // candidates an answer
export const BARS = 48; // of the histogram of scores

// However many there are, the service makes no answer larger than a page.
export async function loadCandidates(jobPath) {
  const page = (offset) => json(`${jobPath}/detections?threshold=0&limit=${PAGE}&offset=${offset}`);
  const { detections: all, total, candidate_floor } = await page(0);
  while (all.length < total) {
    const { detections } = await page(all.length);
    if (!detections.length) throw new Error("The result has changed: load the page again.");
    all.push(...detections);
  }
  return new Candidates(all, candidate_floor);
}

export class Candidates {
  constructor(all, floor) {
    Object.assign(this, { all, floor });
    this.scores = Float64Array.from(all, ({ score }) => score);
    this.counted = new Int32Array(all.length + 1); // of the first so many: those at the slide's border do not count
    this.bars = new Int32Array(BARS);
    all.forEach(({ score, border }, index) => {
      this.counted[index + 1] = this.counted[index] + !border;
      this.bars[Math.min(BARS - 1, Math.floor(((score - floor) / (1 - floor)) * BARS))] += 1;
    });
  }

  // How many have at least this score.
  reaching(threshold) {
    let [low, high] = [0, this.scores.length];
    while (low < high) {
      const middle = (low + high) >> 1;
      if (this.scores[middle] >= threshold) low = middle + 1; else high = middle;
    }
    return low;
  }
}
