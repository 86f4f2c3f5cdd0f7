// The slide by OpenSeadragon, the map laid over it, and where things are on the screen.
import { headers, picture } from "./api.js";

const NEAR_MPP = 0.25; // um per pixel of the screen at which a detection is looked at
const FAR_MPP = 1.5; // from here on the map has all its opacity
const NEAREST_SHARE = 0.35; // of it, near by
const BY_PROCESSOR = /swiftshader|llvmpipe|softpipe|software|basic render/i; // names of renderers without a GPU

export class Stage {
  constructor(element, jobPath, size) {
    Object.assign(this, { size, overlay: undefined, opacity: 0.7, isPeeking: false });
    const hasKey = Object.keys(headers()).length > 0;
    this.viewer = OpenSeadragon({
      element,
      tileSources: {
        width: size.width, height: size.height, tileSize: size.tile_side, tileOverlap: 0, maxLevel: size.levels - 1,
        getTileUrl: (level, col, row) => `${jobPath}/slide_files/${level}/${col}_${row}.jpeg`,
      },
      // Without it the colours of clear pixels of the map are added to the slide's.
      drawer: hasGpu() ? "auto" : "canvas",
      drawerOptions: { webgl: { unpackWithPremultipliedAlpha: true } },
      showNavigationControl: false, showNavigator: true, navigatorPosition: "TOP_RIGHT", navigatorSizeRatio: 0.16,
      navigatorBackground: "#8886", navigatorBorderColor: "#8888", navigatorDisplayRegionColor: "#b0187a",
      maxZoomPixelRatio: 8, minZoomImageRatio: 0.7, visibilityRatio: 0.3, animationTime: 0.4,
      loadTilesWithAjax: hasKey, ajaxHeaders: headers(),
      gestureSettingsMouse: { clickToZoom: false, dblClickToZoom: true }, keyboardNavEnabled: false,
    });
    this.viewer.addHandler("update-viewport", () => this.isOpen && this.fade());
  }

  opened() {
    return new Promise((resolve, reject) => {
      this.viewer.addOnceHandler("open", resolve);
      this.viewer.addOnceHandler("open-failed", reject);
    });
  }

  get isOpen() { return this.viewer.world.getItemCount() > 0; }
  get slide() { return this.viewer.world.getItemAt(0); }

  // Centre of a level-0 pixel, in pixels of the screen.
  place(x, y) { return this.slide.imageToViewerElementCoordinates(new OpenSeadragon.Point(x + 0.5, y + 0.5)); }

  // The level-0 pixel at a point of the screen.
  pixelAt(point) {
    const { x, y } = this.slide.viewerElementToImageCoordinates(new OpenSeadragon.Point(point.x, point.y));
    return { x: x - 0.5, y: y - 0.5 };
  }

  // From level-0 pixels to the screen: x' = a x + c y + e, y' = b x + d y + f.
  transform() {
    const [origin, right, down] = [this.place(0, 0), this.place(1000, 0), this.place(0, 1000)];
    const share = (end, axis) => (end[axis] - origin[axis]) / 1000;
    return { a: share(right, "x"), b: share(right, "y"), c: share(down, "x"), d: share(down, "y"), e: origin.x, f: origin.y };
  }

  // Pixels of the screen per level-0 pixel.
  scale() {
    const { a, b } = this.transform();
    return Math.hypot(a, b);
  }

  async showMap(path) {
    const url = await picture(path);
    await new Promise((resolve) => this.viewer.addTiledImage({
      tileSource: { type: "image", url }, x: 0, y: 0, width: 1, // Covers the slide exactly.
      opacity: this.overlay?.getOpacity() ?? this.opacity,
      success: ({ item }) => {
        if (this.overlay) this.viewer.world.removeItem(this.overlay);
        this.overlay = item;
        this.fade();
        resolve();
      },
      error: resolve,
    }));
    setTimeout(() => URL.revokeObjectURL(url), 10_000);
  }

  setOpacity(opacity) { this.opacity = opacity; this.fade(); }
  peek(isPeeking) { this.isPeeking = isPeeking; this.fade(); }

  // Near by, the nucleus is what counts: the map steps back.
  fade() {
    const share = Math.min(1, Math.max(NEAREST_SHARE, (this.mpp - NEAR_MPP) / (FAR_MPP - NEAR_MPP)));
    const opacity = this.isPeeking ? 0 : this.opacity * share;
    if (this.overlay && Math.abs(this.overlay.getOpacity() - opacity) > 0.01) this.overlay.setOpacity(opacity);
  }

  goTo({ x, y }) {
    const zoom = this.slide.imageToViewportZoom(Math.min(4, (this.size.mpp ?? NEAR_MPP) / NEAR_MPP));
    this.viewer.viewport.zoomTo(Math.max(zoom, this.viewer.viewport.getZoom()));
    this.viewer.viewport.panTo(this.slide.imageToViewportCoordinates(x + 0.5, y + 0.5));
  }

  // The level-0 pixel in the middle of the screen.
  centre() {
    const { x, y } = this.slide.viewportToImageCoordinates(this.viewer.viewport.getCenter());
    return { x: x - 0.5, y: y - 0.5 };
  }

  // Micrometres of a pixel of the screen.
  get mpp() { return (this.size.mpp ?? NEAR_MPP) / this.scale(); }

  // That place in the middle, at so many micrometres per pixel of the screen.
  show({ x, y }, mpp) {
    this.viewer.viewport.panTo(this.slide.imageToViewportCoordinates(x + 0.5, y + 0.5), true);
    this.magnify(mpp);
  }

  magnify(mpp) { this.viewer.viewport.zoomTo(this.viewer.viewport.getZoom() * (this.mpp / mpp), undefined, true); }

  fit({ x, y, width, height }) { this.viewer.viewport.fitBounds(this.slide.imageToViewportRectangle(x, y, width, height)); }
  // Whole and upright.
  home() {
    this.turnTo(0);
    this.viewer.viewport.goHome();
  }

  // Degrees, clockwise.
  get turned() { return ((this.viewer.viewport.getRotation() % 360) + 360) % 360; }
  turnTo(degrees) { this.viewer.viewport.setRotation(degrees, true); }

  zoom(factor) { this.viewer.viewport.zoomBy(factor); this.viewer.viewport.applyConstraints(); }

  // Shares of the screen.
  move(right, down) {
    const { x, y } = this.viewer.viewport.getContainerSize();
    this.viewer.viewport.panBy(this.viewer.viewport.deltaPointsFromPixels(new OpenSeadragon.Point(right * x, down * y)));
    this.viewer.viewport.applyConstraints();
  }
}

// Without one, as on many remote desktops, the processor computes WebGL: a frame takes 30 times as long.
function hasGpu() {
  const context = document.createElement("canvas").getContext("webgl", { failIfMajorPerformanceCaveat: true });
  const names = context?.getExtension("WEBGL_debug_renderer_info");
  const renderer = context?.getParameter(names ? names.UNMASKED_RENDERER_WEBGL : context.RENDERER);
  context?.getExtension("WEBGL_lose_context")?.loseContext();
  return Boolean(renderer) && !BY_PROCESSOR.test(renderer); // Not every browser sees the caveat.
}

// A round length in micrometres that is about 120 px long.
export function scaleBar(pixelsPerUm) {
  const target = 120 / pixelsPerUm;
  const power = 10 ** Math.floor(Math.log10(target));
  const length = [5, 2, 1].map((step) => step * power).find((step) => step <= target) ?? power;
  return { pixels: length * pixelsPerUm, text: length >= 1000 ? `${length / 1000} mm` : `${length} µm` };
}

export const lengthText = (um) => (um >= 1000 ? `${(um / 1000).toFixed(3)} mm` : `${um.toFixed(1)} µm`);
