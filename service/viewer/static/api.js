// The API as the pages use it. A key, where one is asked for, lives in this tab only.
const KEY = "mitoscan-key";

export function headers() {
  const key = sessionStorage.getItem(KEY);
  return key ? { "X-API-Key": key } : {};
}

export async function call(path, options = {}) {
  const response = await fetch(path, { ...options, headers: { ...headers(), ...options.headers } });
  if (response.status === 401) {
    const key = prompt("API key");
    if (key) {
      sessionStorage.setItem(KEY, key);
      return call(path, options);
    }
  }
  if (!response.ok) {
    const problem = await response.json().catch(() => ({ title: response.statusText }));
    throw new Error(problem.detail || problem.title);
  }
  return response;
}

export const json = async (path, options) => (await call(path, options)).json();

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

export function theme(toggle = false) {
  const root = document.documentElement;
  const chosen = localStorage.getItem("mitoscan-theme");
  if (chosen) root.dataset.theme = chosen;
  if (!toggle) return;
  const isDark = getComputedStyle(root).getPropertyValue("--back").trim() === "#161415";
  root.dataset.theme = isDark ? "light" : "dark";
  localStorage.setItem("mitoscan-theme", root.dataset.theme);
}
