// The API as the pages use it. A key, where one is asked for, lives in this tab only.
const KEY = "mitoscan-key";
let asking;

// What the service is served below: scripts lie at static/ of it. Paths of our own are relative to it ("jobs"); links that
// the service gives have it already.
const BASE = new URL("..", import.meta.url);
export const addressOf = (path) => new URL(path, BASE);
// A key in the address, as the service prints it at its first start, or a share link, moves from there into this tab.
function takeToken(address) {
  const inHash = new URLSearchParams(address.hash.slice(1)), inQuery = address.searchParams;
  const key = inHash.get("token") ?? inQuery.get("token");
  if (!key) return false;
  sessionStorage.setItem(KEY, key);
  inHash.delete("token");
  inQuery.delete("token");
  address.hash = inHash.toString();
  history.replaceState(null, "", address);
  return true;
}

takeToken(new URL(location.href));
// Another link to the same page loads nothing by itself.
window.addEventListener("hashchange", () => { if (takeToken(new URL(location.href))) location.reload(); });

export function headers() {
  const key = sessionStorage.getItem(KEY);
  return key ? { "X-API-Key": key } : {};
}

export async function call(path, options = {}) {
  const response = await fetch(addressOf(path), { ...options, headers: { ...headers(), ...options.headers } });
  if (response.status === 401) {
    const reason = sessionStorage.getItem(KEY) ? (await problemOf(response.clone())).detail : ""; // Of the key there is.
    asking ??= askForKey(reason).finally(() => { asking = undefined; });
    if (await asking) return call(path, options);
  }
  if (!response.ok) {
    const problem = await problemOf(response);
    throw Object.assign(new Error(problem.detail || problem.title), { status: response.status, retryAfter: Number(response.headers.get("Retry-After")) });
  }
  return response;
}

const problemOf = (response) => response.json().catch(() => ({ title: response.statusText }));

export const json = async (path, options) => (await call(path, options)).json();

export const megabytes = (bytes) => (bytes / 1e6).toFixed(1);

// A picture by an address of this page's own: <img> cannot send a key.
export const picture = async (path) => URL.createObjectURL(await (await call(path)).blob());

const SILENCE = 45_000; // ms: the service says something, if only that it is there, every 15 s
const FIRST_PAUSE = 500; // ms before a lost stream is asked for again
const LONGEST_PAUSE = 10_000;

// Server-sent events by fetch, because EventSource cannot send a key. A stream that breaks, falls silent, or is cut by a
// proxy is asked for again until the job has ended.
export async function follow(path, onJob, onLost = () => {}) {
  let pause = FIRST_PAUSE;
  for (;;) {
    try {
      const isEnd = await readEvents(path, (job) => { pause = FIRST_PAUSE; onJob(job); });
      if (isEnd) return;
    } catch (error) {
      if (error.status >= 400 && error.status < 500 && error.status !== 429) throw error;
    }
    onLost();
    await new Promise((resolve) => { setTimeout(resolve, pause); window.addEventListener("online", resolve, { once: true }); });
    pause = Math.min(2 * pause, LONGEST_PAUSE);
  }
}

// True if the stream said that the job has ended.
async function readEvents(path, onJob) {
  const silence = new AbortController();
  let timer = setTimeout(() => silence.abort(), SILENCE);
  try {
    const reader = (await call(path, { signal: silence.signal })).body.pipeThrough(new TextDecoderStream()).getReader();
    let text = "";
    for (;;) {
      const { value, done } = await reader.read();
      if (done) return false;
      clearTimeout(timer);
      timer = setTimeout(() => silence.abort(), SILENCE);
      text += value.replaceAll("\r\n", "\n");
      const blocks = text.split("\n\n");
      text = blocks.pop();
      for (const block of blocks) {
        const field = (name) => block.split("\n").find((line) => line.startsWith(name + ": "))?.slice(name.length + 2);
        if (field("event") === "job") onJob(JSON.parse(field("data")));
        if (field("event") === "end") return true;
      }
    }
  } finally {
    clearTimeout(timer);
  }
}

// True once a key has been given.
function askForKey(reason = "") {
  const dialog = document.createElement("dialog");
  dialog.innerHTML = `<form method="dialog"><p class="reason" role="alert"></p><label>API key <input type="password" autocomplete="off" required autofocus></label>
    <p><small>Kept in this tab only.</small></p><button>Go on</button></form>`;
  dialog.querySelector(".reason").textContent = reason;
  document.body.append(dialog);
  dialog.showModal();
  return new Promise((resolve) => {
    dialog.onclose = () => {
      const key = dialog.querySelector("input").value;
      if (key) sessionStorage.setItem(KEY, key);
      dialog.remove();
      resolve(Boolean(key));
    };
  });
}
