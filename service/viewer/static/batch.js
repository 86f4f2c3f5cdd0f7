// Many slides at once: a few are sent at a time, each on a line of its own, and one that fails leaves the others.
import { megabytes } from "./api.js";
import { make } from "./elements.js";
import { sendSlide } from "./sending.js";

const AT_ONCE = 3;

// `list` gets a line for each slide that is not sent yet, `status` says how many are. `onSent` is told of each answer,
// `onEnd` of all of them once nothing is left to send.
export function makeBatch({ list, status, onSent, onEnd }) {
  const waiting = [];
  let running = 0;
  let answers = [];
  let [all, failed] = [0, 0];

  function add(slides, query) {
    if (!isBusy()) [answers, all, failed] = [[], 0, 0];
    all += slides.length;
    for (const slide of slides) wait(slide, query);
    goOn();
  }

  function wait(slide, query) {
    const entry = { slide, query, line: makeLine(list, slide.name) };
    waiting.push(entry);
    entry.line.stopping.signal.addEventListener("abort", () => {
      if (!waiting.includes(entry)) return; // It is being sent, and fails.
      waiting.splice(waiting.indexOf(entry), 1);
      all -= 1;
      entry.line.remove();
      goOn();
    });
  }

  function goOn() {
    while (running < AT_ONCE && waiting.length) {
      running += 1;
      send(waiting.shift()).finally(() => {
        running -= 1;
        goOn();
        if (!isBusy()) onEnd(answers, all);
      });
    }
    const parts = [`${answers.length} of ${all} uploaded`, failed && `${failed} failed`];
    status.textContent = all > 1 ? parts.filter(Boolean).join(", ") : "";
  }

  async function send({ slide, query, line }) {
    try {
      const answer = await sendSlide(slide, query, watchOf(line));
      answers.push(answer);
      line.remove();
      onSent(answer);
    } catch (error) {
      failed += 1;
      line.fail(error.message, () => {
        failed -= 1;
        wait(slide, query);
        goOn();
      });
    }
  }

  const isBusy = () => running > 0 || waiting.length > 0;
  return { add, isBusy };
}

function watchOf(line) {
  const started = performance.now();
  return {
    signal: line.stopping.signal,
    onSent: (loaded, total) => line.show(loaded / total, pace(loaded, total, (performance.now() - started) / 1000)),
    onLost: () => line.say("the connection is lost, trying again"),
    onBusy: (reason) => line.say(`waiting: ${reason}`),
  };
}

function pace(loaded, total, seconds) {
  if (loaded >= total) return "uploaded, being checked";
  const left = seconds > 1 ? `, ${Math.ceil(((total - loaded) * seconds) / loaded)} s to go` : "";
  return `${megabytes(loaded)} of ${megabytes(total)} MB${left}`;
}

function makeLine(list, name) {
  const stopping = new AbortController();
  const bar = make("progress", { max: 1, value: 0, attributes: { "aria-label": `upload of ${name}` } });
  const text = make("small", { textContent: "waiting" });
  const button = make("button", { type: "button", textContent: "Stop", attributes: { "aria-label": `Stop ${name}` }, onclick: () => stopping.abort() });
  const entry = make("li", {}, make("span", { textContent: name }), bar, text, button);
  list.append(entry);
  return {
    stopping,
    say: (said) => { text.textContent = said; },
    show: (part, said) => { bar.value = part; text.textContent = said; },
    remove: () => entry.remove(),
    fail: (reason, again) => {
      entry.className = "failed";
      text.textContent = reason;
      bar.remove();
      button.textContent = "Try again";
      button.setAttribute("aria-label", `Send ${name} again`);
      button.onclick = () => { entry.remove(); again(); };
    },
  };
}
