// The review of a job in this page: verdicts as they are given, saved one after the other, and the count that follows.
import { call, json } from "./api.js";

const RETRY = 3000; // ms until what could not be saved is sent again
const NAME = "mitoscan-reviewer";
const SAME_FIGURE_UM = 5; // as service/review/marks.py

export class Review {
  constructor(jobPath, { mpp, onChange }) {
    Object.assign(this, { path: `${jobPath}/review`, mpp, onChange });
    this.marks = new Map(); // id -> reviewer -> mark
    this.waiting = []; // what is not saved yet, in order
    this.done = []; // what can be undone: the id, and the reviewer's mark before
    this.problem = "";
    this.isSaving = false;
    this.saving = Promise.resolve();
    this.own = ""; // what the service calls this reviewer
    this.changes = 0; // what was said or saved so far
  }

  get reviewer() { return localStorage.getItem(NAME) ?? ""; }
  set reviewer(name) { localStorage.setItem(NAME, name.trim()); this.done = []; }
  get query() { return this.reviewer ? `?reviewer=${encodeURIComponent(this.reviewer)}` : ""; }

  async load() {
    let answer, before;
    do { // An answer from before the last verdict would take it off the page.
      before = this.changes;
      answer = await json(this.path + this.query);
    } while (before !== this.changes);
    this.own = answer.by;
    this.marks.clear();
    for (const mark of answer.marks) this.keep(mark);
    this.onChange();
  }

  keep(mark) {
    if (!this.marks.has(mark.id)) this.marks.set(mark.id, new Map());
    this.marks.get(mark.id).set(mark.by, mark);
  }

  forget(id) {
    this.marks.get(id)?.delete(this.own);
    if (!this.marks.get(id)?.size) this.marks.delete(id);
  }

  // The mark that counts: the newest.
  newest(id) {
    const said = this.marks.get(id);
    return said?.size ? [...said.values()].reduce((one, other) => (other.at >= one.at ? other : one)) : undefined;
  }

  // Figures that somebody added and that stand; one that two reviewers added is one.
  added(known) {
    const kept = [];
    for (const id of this.marks.keys()) {
      const mark = this.newest(id);
      if (known.has(id) || !["added", "accepted"].includes(mark.verdict)) continue;
      const isSame = (other) => other.by !== mark.by && Math.hypot(other.x - mark.x, other.y - mark.y) * this.mpp <= SAME_FIGURE_UM;
      if (!kept.some(isSame)) kept.push(mark);
    }
    return kept;
  }

  // As the service counts: `candidates` holds whether the model counts each of its own, by id.
  count(candidates) {
    let [model, rejected, accepted, judged] = [0, 0, 0, 0];
    for (const isCounted of candidates.values()) model += isCounted;
    for (const id of this.marks.keys()) {
      const { verdict } = this.newest(id);
      if (candidates.get(id)) [judged, rejected] = [judged + 1, rejected + (verdict === "rejected")];
      else if (candidates.has(id)) accepted += verdict === "accepted";
    }
    return { model, reviewed: model - rejected + accepted + this.added(candidates).length, open: model - judged };
  }

  judge({ id, x, y, label }, verdict) {
    this.done.push([id, this.marks.get(id)?.get(this.own)]);
    this.keep({ id, x, y, label, verdict, by: this.own, at: new Date().toISOString(), note: "" });
    this.save(() => this.ask("PUT", `/marks/${id}`, { verdict }));
  }

  add(x, y) {
    this.save(async () => {
      const mark = await this.ask("POST", "/marks", { x, y });
      this.done.push([mark.id, undefined]);
      return mark;
    });
  }

  // Take the last verdict back; returns the id of its mark.
  undo() {
    const [id, before] = this.done.pop() ?? [];
    if (!id) return undefined;
    if (before) {
      this.keep({ ...before, at: new Date().toISOString() });
      // An added figure that was judged afterwards stands again once it is accepted.
      const verdict = before.verdict === "added" ? "accepted" : before.verdict;
      this.save(() => this.ask("PUT", `/marks/${id}`, { verdict, note: before.note }));
    } else {
      this.forget(id);
      this.save(async () => { await this.ask("DELETE", `/marks/${id}`); this.forget(id); });
    }
    return id;
  }

  async ask(method, path, body) {
    const headers = body ? { "Content-Type": "application/json" } : {};
    const response = await call(this.path + path + this.query, { method, headers, body: body && JSON.stringify(body) });
    return response.status === 204 ? undefined : response.json();
  }

  save(request) {
    this.waiting.push(request);
    this.changes += 1;
    this.onChange();
    if (!this.isSaving) this.saving = this.saveAll();
  }

  // Ends once nothing waits to be saved.
  async saved() { while (this.waiting.length) await this.saving; }

  // One after the other, so that the last verdict on a mark is the one that is kept.
  async saveAll() {
    this.isSaving = true;
    while (this.waiting.length) {
      try {
        const mark = await this.waiting[0]();
        this.problem = "";
        this.waiting.shift();
        this.changes += 1;
        if (mark) this.keep(mark);
      } catch (error) {
        this.problem = error.message;
        if (error.status >= 400 && error.status < 500 && error.status !== 429) { // It would be refused again.
          this.waiting.shift();
          await this.load().catch(() => {});
        } else {
          this.onChange();
          await new Promise((resolve) => { setTimeout(resolve, RETRY); });
        }
      }
      this.onChange();
    }
    this.isSaving = false;
  }
}
