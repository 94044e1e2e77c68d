// The surface a picture lies on: fitted, zoomed, dragged and pinched, with layers that move along.

import { h, s } from "./dom.js";

const MOST = 24;
const SWIPE_PX = 60;
const SHARP_FROM = 4;

export class Plane {
  constructor({ onSwipe }) {
    this.onSwipe = onSwipe;
    this.scale = 1;
    this.offset = [0, 0];
    this.size = [1, 1];
    this.fingers = new Map();
    this.photo = h("img", { class: "photo", alt: "" });
    this.marks = s("svg", { class: "marks", "aria-hidden": "true" });
    this.sheet = h("div", { class: "sheet" }, this.photo, this.marks);
    this.element = h(
      "div",
      { class: "plane", tabindex: 0, role: "img", "aria-label": "Picture" },
      this.sheet,
    );
    this.watch = new ResizeObserver(() => this.place());
    this.watch.observe(this.element);
    this.listen();
  }

  end() {
    this.watch.disconnect();
  }

  /** Lay out a new picture: its thumbnail at once, the picture itself when it has come. */
  picture({ width, height, thumbnail, full, name }) {
    this.size = [width, height];
    this.element.setAttribute("aria-label", name);
    this.marks.setAttribute("viewBox", `0 0 ${width} ${height}`);
    this.photo.src = thumbnail;
    const whole = new Image();
    this.coming = whole;
    whole.onload = () => {
      if (this.coming === whole) this.photo.src = full;
    };
    whole.src = full;
    this.fit();
  }

  /** Put overlay images and box marks on the picture; images that stay are not loaded again. */
  layers(images, marks) {
    const wanted = new Set(images.map(({ url }) => url));
    for (const old of this.sheet.querySelectorAll(".layer")) {
      if (!wanted.has(old.dataset.url)) old.remove();
    }
    const there = new Set([...this.sheet.querySelectorAll(".layer")].map((one) => one.dataset.url));
    for (const { layer, url } of images) {
      if (!there.has(url))
        this.marks.before(h("img", { class: `layer ${layer}`, alt: "", src: url, "data-url": url }));
    }
    this.marks.replaceChildren(...marks);
    this.place();
  }

  fit() {
    this.scale = 1;
    this.offset = [0, 0];
    this.place();
  }

  /** Zoom by a factor, holding still the point at `x, y` of the element (else its middle). */
  zoom(factor, x = this.element.clientWidth / 2, y = this.element.clientHeight / 2) {
    const scale = Math.max(1, Math.min(MOST, this.scale * factor));
    const change = scale / this.scale;
    const [cx, cy] = [x - this.element.clientWidth / 2, y - this.element.clientHeight / 2];
    this.offset = [cx - (cx - this.offset[0]) * change, cy - (cy - this.offset[1]) * change];
    this.scale = scale;
    this.place();
  }

  place() {
    const [width, height] = this.size;
    const fit = Math.min(this.element.clientWidth / width, this.element.clientHeight / height);
    const [shownWidth, shownHeight] = [width * fit, height * fit];
    const bound = (offset, shown, room) => {
      const slack = Math.max(0, (shown * this.scale - room) / 2);
      return Math.max(-slack, Math.min(slack, offset));
    };
    this.offset = [
      bound(this.offset[0], shownWidth, this.element.clientWidth),
      bound(this.offset[1], shownHeight, this.element.clientHeight),
    ];
    const { style } = this.sheet;
    style.width = `${shownWidth}px`;
    style.height = `${shownHeight}px`;
    style.transform = `translate(-50%, -50%) translate(${this.offset[0]}px, ${this.offset[1]}px) scale(${this.scale})`;
    this.sheet.classList.toggle("sharp", fit * this.scale >= SHARP_FROM);
    // Lines and letters keep their size on the screen at every zoom.
    this.marks.style.setProperty("--pixel", String(1 / Math.max(fit * this.scale, 1e-6)));
    this.element.classList.toggle("zoomed", this.scale > 1);
  }

  listen() {
    const { element } = this;
    element.addEventListener(
      "wheel",
      (event) => {
        event.preventDefault();
        const box = element.getBoundingClientRect();
        this.zoom(Math.exp(-event.deltaY / 400), event.clientX - box.left, event.clientY - box.top);
      },
      { passive: false },
    );
    element.addEventListener("dblclick", (event) => {
      const box = element.getBoundingClientRect();
      if (this.scale > 1) this.fit();
      else this.zoom(3, event.clientX - box.left, event.clientY - box.top);
    });
    element.addEventListener("pointerdown", (event) => {
      element.setPointerCapture(event.pointerId);
      this.fingers.set(event.pointerId, [event.clientX, event.clientY]);
      this.began = [event.clientX, event.clientY];
    });
    element.addEventListener("pointermove", (event) => this.dragged(event));
    element.addEventListener("pointerup", (event) => this.lifted(event));
    element.addEventListener("pointercancel", (event) => this.fingers.delete(event.pointerId));
  }

  dragged(event) {
    const before = this.fingers.get(event.pointerId);
    if (!before) return;
    const now = [event.clientX, event.clientY];
    if (this.fingers.size === 2) {
      const [other] = [...this.fingers].filter(([id]) => id !== event.pointerId).map(([, at]) => at);
      const apart = (at) => Math.hypot(at[0] - other[0], at[1] - other[1]) || 1;
      const box = this.element.getBoundingClientRect();
      this.zoom(
        apart(now) / apart(before),
        (now[0] + other[0]) / 2 - box.left,
        (now[1] + other[1]) / 2 - box.top,
      );
      this.began = null;
    } else if (this.scale > 1) {
      this.offset = [this.offset[0] + now[0] - before[0], this.offset[1] + now[1] - before[1]];
      this.place();
    }
    this.fingers.set(event.pointerId, now);
  }

  lifted(event) {
    this.fingers.delete(event.pointerId);
    if (!this.began || this.scale > 1 || event.pointerType === "mouse") return;
    const [across, down] = [event.clientX - this.began[0], event.clientY - this.began[1]];
    if (Math.abs(across) > SWIPE_PX && Math.abs(across) > 2 * Math.abs(down))
      this.onSwipe(across < 0 ? 1 : -1);
  }
}
