// The dialog that shares a job: links are made, copied, listed and revoked.
import { call, json } from "./api.js";
import { element, make, setText } from "./elements.js";

const DAY = 24; // hours

export function listenToSharing(jobPath) {
  const path = `${jobPath}/shares`;
  let longest = 0; // hours

  const trying = (action) => async (...said) => {
    setText(element("share-said"), "");
    await action(...said).catch((error) => setText(element("share-said"), error.message));
  };

  async function list() {
    const { shares, longest_h } = await json(path);
    longest = longest_h;
    element("share-days").max = Math.max(1, Math.floor(longest / DAY));
    setText(element("shares-none"), shares.length ? "" : "None.");
    element("shares").replaceChildren(...shares.map(entry));
  }

  function entry({ id, by, note, expires_at }) {
    const until = new Date(expires_at).toLocaleString([], { dateStyle: "medium", timeStyle: "short" });
    const name = note || "no note";
    const text = make("span", {}, make("b", { textContent: name }), make("small", { textContent: `by ${by}, until ${until}` }));
    const button = make("button", { type: "button", textContent: "Revoke", attributes: { "aria-label": `Revoke the link: ${name}` }, onclick: trying(() => revoke(id)) });
    return make("li", { className: "row" }, text, button);
  }

  async function revoke(id) {
    await call(`${path}/${id}`, { method: "DELETE" });
    if (element("share-made").dataset.share === id) forget();
    await list();
    element("share-days").focus();
    setText(element("share-said"), "Revoked: whoever has the link is refused from now on.");
  }

  async function makeLink() {
    const expires_in_h = Math.min(longest, Math.round(Number(element("share-days").value) * DAY));
    const body = JSON.stringify({ expires_in_h, note: element("share-note").value.trim() });
    const made = await json(path, { method: "POST", body, headers: { "Content-Type": "application/json" } });
    element("share-link").value = new URL(made.link, location.href);
    element("share-made").dataset.share = made.id;
    element("share-made").hidden = false;
    element("share-note").value = "";
    await list();
    setText(element("share-said"), "Copy the link now: it is not shown again.");
    element("share-link").select();
  }

  // Without TLS, browsers give pages no clipboard, but for what is selected.
  async function copy() {
    element("share-link").select();
    if (navigator.clipboard) await navigator.clipboard.writeText(element("share-link").value);
    else document.execCommand("copy");
    setText(element("share-said"), "Copied.");
  }

  function forget() {
    element("share-made").hidden = true;
    element("share-link").value = "";
  }

  element("share-open").onclick = () => { element("sharing").showModal(); trying(list)(); };
  element("share-form").onsubmit = (event) => { event.preventDefault(); trying(makeLink)(); };
  element("share-copy").onclick = trying(copy);
  element("sharing").onclose = () => { forget(); setText(element("share-said"), ""); };
}
