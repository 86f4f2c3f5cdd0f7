// The API as the pages use it. A key, where one is asked for, lives in this tab only.
const KEY = "mitoscan-key";
let asking;

export function headers() {
  const key = sessionStorage.getItem(KEY);
  return key ? { "X-API-Key": key } : {};
}

export async function call(path, options = {}) {
  const response = await fetch(path, { ...options, headers: { ...headers(), ...options.headers } });
  if (response.status === 401) {
    asking ??= askForKey().finally(() => { asking = undefined; });
    if (await asking) return call(path, options);
  }
  if (!response.ok) {
    const problem = await response.json().catch(() => ({ title: response.statusText }));
    throw Object.assign(new Error(problem.detail || problem.title), { status: response.status });
  }
  return response;
}

export const json = async (path, options) => (await call(path, options)).json();

export const megabytes = (bytes) => (bytes / 1e6).toFixed(1);

// A picture by an address of this page's own: <img> cannot send a key.
export const picture = async (path) => URL.createObjectURL(await (await call(path)).blob());

// Server-sent events by fetch, because EventSource cannot send a key.
export async function follow(path, onJob) {
  const reader = (await call(path)).body.pipeThrough(new TextDecoderStream()).getReader();
  let text = "";
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return;
    text += value.replaceAll("\r\n", "\n");
    const blocks = text.split("\n\n");
    text = blocks.pop();
    for (const block of blocks) {
      const field = (name) => block.split("\n").find((line) => line.startsWith(name + ": "))?.slice(name.length + 2);
      if (field("event") === "job") onJob(JSON.parse(field("data")));
    }
  }
}

// True once a key has been given.
function askForKey() {
  const dialog = document.createElement("dialog");
  dialog.innerHTML = `<form method="dialog"><label>API key <input type="password" autocomplete="off" required autofocus></label>
    <p><small>Kept in this tab only.</small></p><button>Go on</button></form>`;
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
