// Sends slides: a large one in pieces, by tus, so that a connection that breaks costs a piece and not the upload.
import { addressOf, call, headers } from "./api.js";

const RESUMABLE = 8 << 20; // bytes from which on a file is sent in pieces
const PIECE = 16 << 20;
const PAUSES = [1000, 2000, 5000, 10_000, 20_000]; // ms before each further attempt; the last one again and again
const MOST_ATTEMPTS = 60; // without a byte that got through
const BUSY_PAUSE = 5; // s, where the service does not say how long
const TUS = { "Tus-Resumable": "1.0.0" };

// `watch` has what shows progress (bytes, total), what says that the line is down or the service busy, and a signal that
// stops it all.
export async function sendSlide(slide, query, watch) {
  if (!(slide.body instanceof File) || slide.body.size < RESUMABLE) {
    const own = { ...slide.headers, Prefer: "respond-async" };
    return (await whenThereIsRoom(() => request("POST", `detect?${query}`, slide.body, own, watch, watch.onSent), watch)).json;
  }
  const upload = await sendInPieces(slide.body, watch);
  const body = JSON.stringify({ source: { upload } });
  const asking = { method: "POST", body, headers: { "Content-Type": "application/json", Prefer: "respond-async" } };
  return (await whenThereIsRoom(() => call(`detect?${query}`, asking), watch)).json();
}

// A full queue is no failure: it is asked again when the service says so, until there is room or the user stops it.
async function whenThereIsRoom(ask, watch) {
  for (;;) {
    try {
      return await ask();
    } catch (error) {
      if (![429, 503].includes(error.status)) throw error;
      watch.onBusy(error.message);
      await pause((error.retryAfter || BUSY_PAUSE) * 1000, watch.signal);
    }
  }
}

// The id of the upload.
async function sendInPieces(file, watch) {
  const known = `mitoscan-upload ${file.name} ${file.size} ${file.lastModified}`;
  let place = localStorage.getItem(known);
  let offset = place ? await offsetOf(place).catch(() => undefined) : undefined;
  if (offset === undefined) {
    const name = btoa(String.fromCharCode(...new TextEncoder().encode(file.name)));
    const beginning = { method: "POST", headers: { ...TUS, "Upload-Length": file.size, "Upload-Metadata": `filename ${name}` } };
    const begun = await whenThereIsRoom(() => call("uploads/tus/", beginning), watch);
    [place, offset] = [new URL(begun.headers.get("location"), location.href).pathname, 0];
    localStorage.setItem(known, place); // The same file, chosen again after the page was closed, goes on.
  }
  for (let failures = 0; offset < file.size;) {
    try {
      const piece = file.slice(offset, offset + PIECE);
      const patch = { ...TUS, "Upload-Offset": offset, "Content-Type": "application/offset+octet-stream" };
      await request("PATCH", place, piece, patch, watch, (sent) => watch.onSent(offset + sent, file.size));
      offset += piece.size;
      failures = 0;
    } catch (error) {
      if (watch.signal.aborted || isRefused(error) || failures >= MOST_ATTEMPTS) {
        if (!watch.signal.aborted) localStorage.removeItem(known);
        throw error;
      }
      watch.onLost();
      await pause(PAUSES[Math.min(failures, PAUSES.length - 1)], watch.signal);
      failures += 1;
      const kept = await offsetOf(place).catch((lost) => { if (isRefused(lost)) throw lost; return offset; });
      if (kept > offset) failures = 0;
      offset = kept;
    }
  }
  localStorage.removeItem(known);
  return place.split("/").at(-1);
}

// Another attempt would be refused as well. 409 and 423: the service has not noticed yet that the last connection broke.
const isRefused = ({ status }) => status >= 400 && status < 500 && ![408, 409, 423, 429].includes(status);

async function offsetOf(place) {
  return Number((await call(place, { method: "HEAD", headers: TUS })).headers.get("upload-offset"));
}

function pause(milliseconds, signal) {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(resolve, milliseconds);
    window.addEventListener("online", resolve, { once: true });
    signal.addEventListener("abort", () => { clearTimeout(timer); reject(new Error("stopped")); }, { once: true });
  });
}

// By XMLHttpRequest: fetch cannot tell how much has been sent.
function request(method, path, body, own, watch, onSent) {
  const sending = new XMLHttpRequest();
  sending.open(method, addressOf(path));
  for (const [name, value] of Object.entries({ ...headers(), ...own })) sending.setRequestHeader(name, value);
  sending.upload.onprogress = ({ loaded, total }) => onSent(loaded, total);
  const abort = () => sending.abort();
  watch.signal.addEventListener("abort", abort, { once: true });
  return new Promise((resolve, reject) => {
    sending.onabort = () => reject(new Error("stopped"));
    sending.onerror = () => reject(new Error("the connection broke; upload it again"));
    sending.onload = () => {
      const json = sending.responseText ? JSON.parse(sending.responseText) : {};
      if (sending.status < 300) resolve({ json });
      else reject(Object.assign(new Error(json.detail || json.title), { status: sending.status, retryAfter: Number(sending.getResponseHeader("Retry-After")) }));
    };
    sending.send(body);
  }).finally(() => watch.signal.removeEventListener("abort", abort));
}
