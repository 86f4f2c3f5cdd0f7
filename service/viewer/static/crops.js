// Pictures of places of a slide, each asked for once, when it comes into sight.
import { picture } from "./api.js";

export class Crops {
  // `side` of each, in level-0 pixels; `options` are those of an IntersectionObserver.
  constructor(jobPath, side, options) {
    Object.assign(this, { jobPath, side });
    this.pictures = new Map(); // place -> address: the threshold moves often
    this.watch = new IntersectionObserver((entries) => {
      for (const { isIntersecting, target } of entries) if (isIntersecting) { this.watch.unobserve(target); this.load(target); }
    }, options);
  }

  // An image of a place, that loads once it is seen.
  image({ x, y }, size) {
    const image = Object.assign(document.createElement("img"), { alt: "", width: size, height: size });
    image.dataset.place = `${Math.round(x)}_${Math.round(y)}`;
    this.watch.observe(image);
    return image;
  }

  forget() { this.watch.disconnect(); }

  async load(image) {
    const { place } = image.dataset;
    if (!this.pictures.has(place)) this.pictures.set(place, picture(`${this.jobPath}/crops/${place}.jpeg?side=${this.side}`));
    try {
      image.src = await this.pictures.get(place);
    } catch { // The slide has been removed: the list stays.
      image.remove();
    }
  }
}
