// The panel of the comparison: another job of the slide, whose detections are drawn as squares, and where the two differ.
import { json } from "./api.js";
import { element, make } from "./elements.js";
import { titleOf } from "./kin.js";

const PAUSE = 150; // ms after the last change of a threshold

export class ComparePanel {
  // `page` has the job, what shows its detections, and how one of them is shown in the middle.
  constructor(jobPath, siblings, page) {
    Object.assign(this, page, { jobPath, differences: [], at: -1 });
    const offered = siblings.filter(({ status }) => status === "SUCCEEDED");
    element("compare").hidden = !offered.length;
    const options = offered.map((one) => make("option", { value: one.id, textContent: `${titleOf(one)}${one.rescan_of ? ", a region" : ""}` }));
    element("compare-with").replaceChildren(make("option", { value: "", textContent: "nothing" }), ...options);
    element("compare-with").onchange = () => { element("other-threshold").value = ""; this.ask(); };
    element("other-threshold").onchange = () => { if (element("other-threshold").reportValidity()) this.ask(); };
    element("only-differences").onchange = () => this.apply();
    element("difference-next").onclick = () => this.step(1);
    element("difference-previous").onclick = () => this.step(-1);
  }

  get other() { return element("compare-with").value; }
  get isFiltering() { return Boolean(this.found) && element("only-differences").checked; }

  // With another threshold of this job the two are compared anew.
  follow(threshold) {
    if (this.other && threshold !== this.threshold) this.ask(threshold, PAUSE);
  }

  // What of the list is shown; figures that people added are in any.
  filtered(detections) {
    if (!this.isFiltering) return detections;
    return detections.filter(({ id, score }) => score == null || this.only.has(id));
  }

  ask(threshold = Number(element("threshold").value), pause = 0) {
    this.threshold = threshold;
    clearTimeout(this.waiting);
    element("compare-choices").hidden = !this.other;
    if (!this.other) { if (this.found) this.show(); return; }
    this.waiting = setTimeout(() => this.load(), pause);
  }

  async load() {
    const turn = (this.turn = (this.turn ?? 0) + 1);
    const asked = { with: this.other, threshold: this.threshold };
    if (element("other-threshold").value) asked.other_threshold = element("other-threshold").value;
    try {
      const found = await json(`${this.jobPath}/comparison?${new URLSearchParams(asked)}`);
      if (turn === this.turn && asked.with === this.other) this.show(found); // Or it was asked anew meanwhile.
    } catch (error) {
      this.show();
      element("compared").textContent = error.message;
    }
  }

  show(found) {
    this.found = found;
    this.only = new Set(found?.only_this_ids);
    const said = found && `both ${found.both}, only this ${found.only_this}, only the other ${found.only_other}`;
    element("compared").textContent = found ? `${said}${found.in_region ? ", in the region" : ""}` : "";
    if (found) element("other-threshold").value = found.other_threshold;
    document.body.dataset.compared = found ? "shown" : "";
    this.apply();
  }

  // Of the filter and of what is drawn. By falling score, as lists are.
  apply() {
    const { found, marks } = this;
    const others = found?.others ?? [];
    marks.others = this.isFiltering ? others.filter(({ match }) => match == null) : others;
    const ours = this.candidates.filter(({ id }) => this.only.has(id));
    this.differences = [...ours, ...others.filter(({ match }) => match == null)].sort((one, another) => another.score - one.score);
    [this.at, marks.otherCurrent] = [-1, undefined];
    this.showPlace();
    this.refresh();
  }

  // To the next difference, whoever has found it.
  step(by) {
    const count = this.differences.length;
    if (!count) return;
    this.at = this.at < 0 ? (by > 0 ? 0 : count - 1) : (this.at + by + count) % count;
    const one = this.differences[this.at];
    const index = this.only.has(one.id) ? this.marks.detections.findIndex(({ id }) => id === one.id) : -1;
    this.marks.otherCurrent = index < 0 ? one.id : undefined;
    if (index < 0) this.stage.goTo(one);
    if (index < 0) this.select(-1); else this.jump(index);
    this.showPlace(index < 0 ? "only the other" : "only this");
  }

  showPlace(whose = "") {
    const count = this.differences.length;
    element("difference").textContent = this.at < 0 ? `${count} ${count === 1 ? "difference" : "differences"}` : `${this.at + 1} of ${count}, ${whose}`;
    element("difference-next").disabled = element("difference-previous").disabled = !count;
  }

  toggleFilter() { if (this.found) element("only-differences").click(); }

  // As it stands in the address of the page.
  get address() {
    if (!this.other) return {};
    return { with: this.other, with_threshold: this.found?.other_threshold, differ: element("only-differences").checked ? 1 : "" };
  }

  fromAddress({ with: other, with_threshold: threshold, differ }) {
    element("compare-with").value = other ?? "";
    if (other && !this.other) element("compare-with").value = "";
    element("other-threshold").value = threshold ?? "";
    element("only-differences").checked = differ === "1";
    this.ask();
  }
}
