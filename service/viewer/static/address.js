// Where the reader is, in the address of the page: place, zoom, threshold, selection, window. A link shows the same.
const PAUSE = 300; // ms after the last change

export const readAddress = () => Object.fromEntries(new URLSearchParams(location.hash.slice(1)));

let waiting;

// Without a step in the browser's history for each.
export function writeAddress(read) {
  clearTimeout(waiting);
  waiting = setTimeout(() => {
    const said = Object.entries(read()).filter(([, value]) => value !== undefined && value !== "");
    history.replaceState(null, "", `#${new URLSearchParams(said)}`);
  }, PAUSE);
}

// Another address was typed, or followed, on the same page.
export const onAddress = (apply) => window.addEventListener("hashchange", () => apply(readAddress()));
